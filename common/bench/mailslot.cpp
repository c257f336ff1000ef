// Lab 03: a slot for each side. post() looks the other's slot up for every message; that is what the contract
// offers.

#include "link.hpp"
#include "mailslots.hpp"
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace {

using namespace bench;

class Slots {
public:
    Slots(const Setting& setting, bool server)
        : other_(setting.name + (server ? ".client" : ".server")),
          slot_(
              mailslots::open_slot((keep_apart(setting), setting.name + (server ? ".server" : ".client")))) {}
    ~Slots() { mailslots::close_slot(slot_); }
    Slots(const Slots&) = delete;

    void send(std::string_view message) {
        if (const mailslots::Delivery delivery = mailslots::post(other_, message, soon());
            delivery != mailslots::Delivery::delivered)
            throw std::runtime_error(std::string("post(): ") + mailslots::text(delivery));
    }
    void receive(std::string& message) {
        auto received = mailslots::receive(slot_, soon());
        if (!received || received->size() != message.size())
            throw std::runtime_error("receive(): the message did not come, or is not as long as it was");
        message.swap(*received);
    }

private:
    static ipc::Deadline soon() { return ipc::Deadline::in(std::chrono::seconds(10)); }
    // On Linux: not among the slots that somebody uses.
    static void keep_apart([[maybe_unused]] const Setting& setting) {
#ifndef _WIN32
        ::setenv("XDG_RUNTIME_DIR", std::filesystem::absolute(setting.folder).c_str(), 1);
#endif
    }

    std::string other_;
    mailslots::Slot slot_;
};

}  // namespace

int main(int argc, char** argv) {
    return run_link<Slots>(argc, argv);
}
