def reset(*a): pass
LIF=NoisyLIF=None
