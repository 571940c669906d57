"""Takes an artifact and a device, gives a table of its fastest kernels. Never lets a time count
before the kernel's output was checked."""
