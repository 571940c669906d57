"""Arrays on a device, where a tape's launches find them by the number of a slot."""

import numpy as np

from tapeout.artifact import SlotBuffer


class DeviceBuffers:
    """Stands for the memory of a load: each array is a slot of its own."""

    def __init__(self, device):
        self.device, self.arrays, self.addresses = device, [], []

    def add(self, array):
        """A slot that holds the array."""
        array = np.ascontiguousarray(array)
        address = self.device.allocate(array.nbytes, "an array")
        self.device.copy_in(address, array)
        self.arrays.append(array)
        self.addresses.append(address)
        return SlotBuffer(len(self.arrays) - 1)

    def fetch(self, buffer):
        """The array as it is on the device, after what is queued."""
        found = np.empty_like(self.arrays[buffer.slot])
        self.device.copy_out(found, self.addresses[buffer.slot])
        self.device.synchronize()
        return found

    def address(self, buffer, places):
        return self.addresses[buffer.slot]

    def num_bytes(self, buffer):
        return self.arrays[buffer.slot].nbytes
