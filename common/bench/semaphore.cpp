// Lab 06: two semaphores of one permit, passed back and forth.

#include "synchronization.hpp"
#include "turns.hpp"

namespace {

struct SemaphoreTurn {
    explicit SemaphoreTurn(const std::string& name) : semaphore(name, 1) {}
    void give() { semaphore.release(); }
    void take() { semaphore.acquire(); }
    synchronization::Semaphore semaphore;
};

// A new semaphore has its permit free; nobody has given a turn yet. So the client, which comes first, takes
// them.
void client(const bench::Setting& setting) {
    bench::Turns<SemaphoreTurn> turns(setting);
    for (SemaphoreTurn* turn : {&turns.there, &turns.back, &turns.end})
        turn->take();
    bench::turns_client<SemaphoreTurn>(setting);
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run(argc, argv, client, bench::turns_server<SemaphoreTurn>);
}
