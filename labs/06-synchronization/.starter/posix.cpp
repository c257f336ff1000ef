// Lab 06, posix track: write these functions. What each has to do is in synchronization.hpp; why, in README.md.

#include "synchronization.hpp"

#include "ipc/error.hpp"
#include "ipc/program.hpp"
#include "named_object.hpp"

namespace synchronization {

// ---- mutex ----------------------------------------------------------------------------------------------------------

struct Mutex::State {
    // TODO: What has to lie in shared memory, and what does it have to be told when it is made? NamedObject puts it there:
    // NamedObject<pthread_mutex_t> mutex(name, ObjectKind::mutex, Opening::open_or_create, ...).
};

Mutex::Mutex(const std::string&) { throw ipc::not_implemented(); }
Mutex::~Mutex() = default;

Taken Mutex::lock(ipc::Deadline) {
    // TODO: Four answers are possible: yours, not yours in time, yours from a dead man's hands, and an error. The third one
    // wants something from you before you go on, or the mutex is lost for everybody.
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
    // TODO: A sem_t can count, but nobody has told it where to stop.
};

Semaphore::Semaphore(const std::string&, unsigned) { throw ipc::not_implemented(); }
Semaphore::~Semaphore() = default;

bool Semaphore::acquire(ipc::Deadline) {
    // TODO: Wait, but by a clock that nobody can set.
    throw ipc::not_implemented();
}

void Semaphore::release() { throw ipc::not_implemented(); }

// ---- event ------------------------------------------------------------------------------------------------------------

struct Event::State {
    // TODO: A state that can be seen, and a way to sleep until it changes. What does it leave behind when a sleeper is
    // killed?
};

Event::Event(const std::string&, Reset) { throw ipc::not_implemented(); }
Event::Event(const std::string&) { throw ipc::not_implemented(); }
Event::~Event() = default;

bool Event::wait(ipc::Deadline) {
    // TODO: You look, it is not signalled, and you lie down to sleep. In between somebody signals. Make looking and lying
    // down one step.
    throw ipc::not_implemented();
}

void Event::signal() { throw ipc::not_implemented(); }
void Event::reset() { throw ipc::not_implemented(); }

// ---- limit ------------------------------------------------------------------------------------------------------------

ExitCode limit(const std::string&, unsigned, ipc::Deadline, const Command&) {
    // TODO: Whoever holds a slot may be killed at any moment, and then nobody is left to give it back. Which things does
    // the kernel take back from the dead by itself, and which of them can several wait for? Whose should the slot be?
    throw ipc::not_implemented();
}

// ---- breakfast --------------------------------------------------------------------------------------------------------

void vendor(const std::string&, unsigned, const Say&) {
    // TODO: Say what is the vendor's to say, each time when it is his turn. How does he learn that, even if he comes late?
    throw ipc::not_implemented();
}

void customer(const std::string&, unsigned, const Say&) { throw ipc::not_implemented(); }

}  // namespace synchronization
