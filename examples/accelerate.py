"""A network of SpikingJelly before and after fastlif.accelerate: what differs, and the time of each, in turns.

python examples/accelerate.py [spiking_resnet18 | sew_resnet18 | spiking_vgg11_bn] [image size]
"""

import statistics
import sys
import time

import torch

import fastlif

try:
    from spikingjelly.activation_based import functional, neuron, surrogate
    from spikingjelly.activation_based.model import sew_resnet, spiking_resnet, spiking_vgg
except ImportError as error:
    print(f"This example needs SpikingJelly ({error}): pip install 'fastlif[peers]'")
    sys.exit(0)

T, BATCH, TURNS = 4, 4, 9
NETWORKS = {
    "spiking_resnet18": spiking_resnet.spiking_resnet18,
    "sew_resnet18": lambda **keywords: sew_resnet.sew_resnet18(cnf="ADD", **keywords),
    "spiking_vgg11_bn": spiking_vgg.spiking_vgg11_bn,
}
name, size = (sys.argv[1:] + ["spiking_resnet18", "32"][len(sys.argv) - 1 :])[:2]

torch.manual_seed(0)
neurons = {"spiking_neuron": neuron.LIFNode, "surrogate_function": surrogate.ATan(), "detach_reset": True}
before = NETWORKS[name](num_classes=10, **neurons)
functional.set_step_mode(before, "m")

after = fastlif.accelerate(before)  # the one line

images = torch.randn(T, BATCH, 3, int(size), int(size))


def step(model):
    """A forward and a backward pass: seconds, and the output."""
    functional.reset_net(model)
    start = time.perf_counter()
    output = model(images)
    output.square().mean().backward()
    return time.perf_counter() - start, output


outputs = [step(model)[1] for model in (before, after)]  # the first call compiles
print(f"{name}: {int((outputs[0] != outputs[1]).sum())} of {outputs[0].numel()} outputs differ")
times = [(step(before)[0], step(after)[0]) for _ in range(TURNS)]
for what, seconds in zip(("SpikingJelly", "accelerated"), zip(*times)):
    print(f"{what}: {statistics.median(seconds):.3f} s a training step ({min(seconds):.3f} to {max(seconds):.3f})")
ratio = statistics.median(first / second for first, second in times)
print(f"{ratio:.2f} times as fast, the median of {TURNS} turns, with {torch.get_num_threads()} threads")
