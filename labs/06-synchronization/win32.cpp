// Lab 06, win32 track: write these functions. What each has to do is in synchronization.hpp; why, in README.md.

#include "synchronization.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include "ipc/text.hpp"
#include <windows.h>

namespace synchronization {

// ---- mutex ----------------------------------------------------------------------------------------------------------

struct Mutex::State {
    // TODO: What does CreateMutexW answer if the mutex is there already, and what if the name is a semaphore's?
};

Mutex::Mutex(const std::string&) { throw ipc::not_implemented(); }
Mutex::~Mutex() = default;

Taken Mutex::lock(ipc::Deadline) {
    // TODO: WaitForSingleObject has four answers: yours, not yours in time, yours from a dead man's hands, and an error. With
    // which of them do you own the mutex?
    throw ipc::not_implemented();
}

void Mutex::unlock() { throw ipc::not_implemented(); }

Taken lock_both(Mutex&, Mutex&, ipc::Deadline) {
    // TODO: You have the first and wait for the second; another has the second and waits for the first. Find a rule which,
    // if everybody keeps it, makes that impossible. And if the time is over with one of them in your hand?
    throw ipc::not_implemented();
}

// ---- semaphore --------------------------------------------------------------------------------------------------------

struct Semaphore::State {
    // TODO: CreateSemaphoreW wants two numbers. The article gives 0 for the first one: what would come of it?
};

Semaphore::Semaphore(const std::string&, unsigned) { throw ipc::not_implemented(); }
Semaphore::~Semaphore() = default;

bool Semaphore::acquire(ipc::Deadline) { throw ipc::not_implemented(); }

void Semaphore::release() {
    // TODO: What does the system say about a permit too many, and who listens?
    throw ipc::not_implemented();
}

// ---- event ------------------------------------------------------------------------------------------------------------

struct Event::State {
    // TODO: Two constructors: one makes an event, one insists that there is one.
};

Event::Event(const std::string&, Reset) { throw ipc::not_implemented(); }
Event::Event(const std::string&) { throw ipc::not_implemented(); }
Event::~Event() = default;

bool Event::wait(ipc::Deadline) { throw ipc::not_implemented(); }

void Event::signal() {
    // TODO: There are two functions that could be meant. One of them forgets the signal if nobody waits just now.
    throw ipc::not_implemented();
}

void Event::reset() { throw ipc::not_implemented(); }

// ---- limit ------------------------------------------------------------------------------------------------------------

ExitCode limit(const std::string&, unsigned, ipc::Deadline, const Command&) {
    // TODO: Whoever holds a slot may be killed at any moment, and then nobody is left to give it back. Which kind of object
    // has an owner whose death the system notices, and how does one wait for any of several? And who ends the command?
    throw ipc::not_implemented();
}

// ---- breakfast --------------------------------------------------------------------------------------------------------

void vendor(const std::string&, unsigned, const Say&) {
    // TODO: Say what is the vendor's to say, each time when it is his turn. How does he learn that, even if he comes late?
    throw ipc::not_implemented();
}

void customer(const std::string&, unsigned, const Say&) { throw ipc::not_implemented(); }

}  // namespace synchronization
