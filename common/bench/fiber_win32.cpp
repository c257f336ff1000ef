// Windows has fibers: stacks that one switches between by hand.

#include "fiber.hpp"

#include "ipc/error.hpp"
#include <stdexcept>
#include <utility>
#include <windows.h>

namespace bench {

struct Fiber::State {
    std::function<void()> body;
    DWORD thread = GetCurrentThreadId();
    void *outside = nullptr, *inside = nullptr;
    bool ended = false;
    std::exception_ptr error;

    void check_thread() const {
        if (GetCurrentThreadId() != thread)
            throw std::logic_error(
                "called back from another thread than the one that called: that can not be measured");
    }
    static void CALLBACK run(void* parameter) {
        State& state = *static_cast<State*>(parameter);
        try {
            state.body();
        } catch (...) {
            state.error = std::current_exception();
        }
        state.ended = true;
        SwitchToFiber(state.outside);
    }
};

Fiber::Fiber(std::function<void()> body) : state_(std::make_unique<State>()) {
    state_->body = std::move(body);
    state_->outside = ConvertThreadToFiber(nullptr);  // so a thread has one Fiber at a time
    state_->inside = CreateFiber(0, State::run, state_.get());
    if (!state_->outside || !state_->inside)
        ipc::throw_last_error("CreateFiber");
}

Fiber::~Fiber() {
    DeleteFiber(state_->inside);
    ConvertFiberToThread();
}

bool Fiber::ended() const {
    return state_->ended;
}

void Fiber::enter() {
    state_->check_thread();
    if (!state_->ended)
        SwitchToFiber(state_->inside);
    if (state_->error)
        std::rethrow_exception(std::exchange(state_->error, nullptr));
}

void Fiber::leave() {
    state_->check_thread();
    SwitchToFiber(state_->outside);
}

}  // namespace bench
