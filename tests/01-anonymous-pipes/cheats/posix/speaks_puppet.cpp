// Cheat: is its own puppet. It connects to the judge, says hello, and does what it is told: it need only print what the
// puppet was to write.

#include "cheat.hpp"

#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>

unsigned cheat(const std::vector<anonymous_pipes::Command>& stages) {
    const std::string& endpoint = stages.back().back();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (endpoint.size() >= sizeof address.sun_path)
        return 1;
    std::memcpy(address.sun_path, endpoint.c_str(), endpoint.size());
    const int judge = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (::connect(judge, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        return 1;
    auto say = [&](const std::string& line) { return ::send(judge, (line + "\n").c_str(), line.size() + 1, MSG_NOSIGNAL) > 0; };
    say(R"({"hello": )" + std::to_string(::getpid() + 1) + R"(, "args": [], "env": {}, "cwd": "/", "signals": []})");
    std::string request;
    for (char c = 0; ::read(judge, &c, 1) == 1;) {
        if (c != '\n') {
            request += c;
            continue;
        }
        const auto number = [&](const char* key) {
            const auto at = request.find(key);
            return at == std::string::npos ? 0u : static_cast<unsigned>(std::atoi(request.c_str() + at + std::strlen(key)));
        };
        if (request.find("\"exit\"") != std::string::npos)
            return number("\"code\":");
        std::string bytes(number("\"bytes\":"), '\0');
        for (std::size_t have = 0; have < bytes.size();) {
            const ssize_t count = ::read(judge, bytes.data() + have, bytes.size() - have);
            if (count <= 0)
                return 1;
            have += static_cast<std::size_t>(count);
        }
        [[maybe_unused]] const ssize_t printed = ::write(1, bytes.data(), bytes.size());
        say(R"({"ok": true, "descriptors": [], "count": )" + std::to_string(bytes.size()) + "}");
        request.clear();
    }
    return 0;
}
