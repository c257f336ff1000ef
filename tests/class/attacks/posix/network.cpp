// Phones home; to an address of this machine only, where nothing of the sandbox listens.
static void attack() {
    const int phone = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in home{};
    home.sin_family = AF_INET;
    home.sin_port = htons(9);
    home.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(phone, reinterpret_cast<sockaddr*>(&home), sizeof home) == 0)
        ::printf("home\n");
    ::_exit(0);
}
