"""The executor for one NVIDIA GPU: takes frames, replays tapes and graphs through the driver."""
