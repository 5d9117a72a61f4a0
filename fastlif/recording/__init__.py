"""What looks inside a network: spikes, membranes and rates while it runs, operations and energy."""

from fastlif.recording.log import Log, record

__all__ = ["Log", "record"]
