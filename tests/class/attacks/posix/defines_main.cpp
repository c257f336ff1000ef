// A main() of its own.
static void attack() {}
int main() {
    ::puts(verdict_of_full_marks().c_str());
    return 0;
}
