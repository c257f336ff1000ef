// Lab 06: two events that reset themselves, signalled in turn.

#include "synchronization.hpp"
#include "turns.hpp"

namespace {

struct EventTurn {
    explicit EventTurn(const std::string& name) : event(name, synchronization::Event::Reset::automatic) {}
    void give() { event.signal(); }
    void take() { event.wait(); }
    synchronization::Event event;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::turns_client<EventTurn>, bench::turns_server<EventTurn>);
}
