"""The `tapeout` command. Its commands are in `cli_commands.py` and `cli_<command>.py`."""

try:  # an interruption may come before there is a command to catch it
    from .cli_commands import main
except KeyboardInterrupt:
    raise SystemExit(130) from None

__all__ = ["main"]

if __name__ == "__main__":
    main()
