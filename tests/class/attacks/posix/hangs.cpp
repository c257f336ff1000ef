// Waits for ever, deaf to polite requests.
static void attack() {
    for (int signal = 1; signal < 32; ++signal)
        ::signal(signal, SIG_IGN);
    for (;;)
        ::pause();
}
