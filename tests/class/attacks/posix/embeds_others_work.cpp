// Other submissions at compile time, wherever they may lie.
#if __has_include("../../../../solution/labs/01-anonymous-pipes/posix.cpp") || __has_include("/tmp/source.cpp") || __has_include("/out/source.cpp")
#error other submissions can be read
#endif
asm(".section .rodata\nstolen: .incbin \"/out/program\"\n");
static void attack() {}
