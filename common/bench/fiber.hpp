#pragma once

/// @file
/// Two calls that wait, taking turns in one thread.
///
/// The ring's send() and receive() each call us back from within; a ping-pong has to leave one to go on with
/// the other. Two threads would do, but then handing the turn over costs a wake-up in each process, as much
/// as the ring itself.

#include <exception>
#include <functional>
#include <memory>

namespace bench {

/// A call that can be left in the middle, and entered again.
class Fiber {
public:
    explicit Fiber(std::function<void()> body);
    ~Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;

    /// Goes on with the body until it calls leave() or ends. @throws what the body throws
    void enter();
    /// From within the body: back to whoever called enter().
    void leave();
    bool ended() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace bench
