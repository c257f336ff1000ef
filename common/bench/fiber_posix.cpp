// A stack of its own comes from makecontext(); the switches are _setjmp() and _longjmp(), because
// swapcontext() makes a system call each time, to exchange signal masks that are the same.

#include "fiber.hpp"

#include <csetjmp>
#include <stdexcept>
#include <thread>
#include <ucontext.h>
#include <utility>
#include <vector>

namespace bench {

struct Fiber::State {
    std::function<void()> body;
    std::vector<char> stack = std::vector<char>(256 * 1024);
    std::thread::id thread = std::this_thread::get_id();
    ucontext_t first{}, origin{};
    std::jmp_buf inside{}, outside{};
    bool begun = false, ended = false;
    std::exception_ptr error;
    static State* starting;  // makecontext() passes nothing but ints

    static void run();
    void jump_in();
    void check_thread() const {
        if (std::this_thread::get_id() != thread)
            throw std::logic_error(
                "called back from another thread than the one that called: that can not be measured");
    }
};

Fiber::State* Fiber::State::starting = nullptr;

Fiber::Fiber(std::function<void()> body) : state_(std::make_unique<State>()) {
    state_->body = std::move(body);
}

Fiber::~Fiber() = default;

bool Fiber::ended() const {
    return state_->ended;
}

void Fiber::enter() {
    state_->check_thread();
    if (!state_->ended)
        state_->jump_in();
    if (state_->error)
        std::rethrow_exception(std::exchange(state_->error, nullptr));
}

void Fiber::leave() {
    state_->check_thread();
    if (_setjmp(state_->inside) == 0)
        _longjmp(state_->outside, 1);
}

// Nothing but `this` lives across the jumps: what a compiler keeps in registers is not brought back.
void Fiber::State::jump_in() {
    if (_setjmp(outside) != 0)
        return;
    if (begun)
        _longjmp(inside, 1);
    begun = true;
    ::getcontext(&first);
    first.uc_stack.ss_sp = stack.data();
    first.uc_stack.ss_size = stack.size();
    first.uc_link = nullptr;
    starting = this;
    ::makecontext(&first, run, 0);
    ::setcontext(&first);
}

void Fiber::State::run() {
    State& state = *starting;
    try {
        state.body();
    } catch (...) {
        state.error = std::current_exception();
    }
    state.ended = true;
    _longjmp(state.outside, 1);
}

}  // namespace bench
