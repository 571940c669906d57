"""Seeds of requests that bring none: drawn from the seed of the engine, one after the other."""

_MASK = 2**64 - 1


def mix(seed: int, index: int) -> int:
    """A signed 64-bit seed from two numbers (splitmix64): neighbours share nothing."""
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    z ^= z >> 31
    return z - 2**64 if z >> 63 else z
