// Lab 05, win32 track: the reference solution.

#include "shared_memory.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <thread>

namespace shared_memory {
namespace {

// ---- a segment ------------------------------------------------------------------------------------------------------

// A section that is mapped whole. It lives until the last handle to it and the last view of it are gone.
struct Mapping {
    explicit Mapping(ipc::unique_handle of, const std::string& name, DWORD access = FILE_MAP_ALL_ACCESS) : section(std::move(of)) {
        address = MapViewOfFile(section.get(), access, 0, 0, 0);
        if (!address)
            ipc::throw_last_error("MapViewOfFile", name);
        MEMORY_BASIC_INFORMATION region;  // whole pages; a section never becomes shorter
        if (!VirtualQuery(address, &region, sizeof region)) {
            UnmapViewOfFile(address);
            ipc::throw_last_error("VirtualQuery", name);
        }
        size = region.RegionSize;
    }
    Mapping(const Mapping&) = delete;
    ~Mapping() { UnmapViewOfFile(address); }
    char* bytes() const { return static_cast<char*>(address); }
    Header& header() const { return *static_cast<Header*>(address); }

    ipc::unique_handle section;
    void* address = nullptr;
    std::size_t size = 0;
};

// Sections, mutexes and events share one name space: each gets a name of its own, from one root.
std::wstring name_of(const std::string& name, const char* what = "") { return ipc::to_wide("Local\\" + name + what); }

ipc::unique_handle open_mutex(const std::string& name, const char* what) {
    ipc::unique_handle mutex(CreateMutexW(nullptr, FALSE, name_of(name, what).c_str()));
    if (!mutex)
        ipc::throw_last_error("CreateMutexW", name + what);
    return mutex;
}

ipc::unique_handle open_event(const std::string& name, const char* what, bool manual_reset) {
    ipc::unique_handle event(CreateEventW(nullptr, manual_reset, FALSE, name_of(name, what).c_str()));
    if (!event)
        ipc::throw_last_error("CreateEventW", name + what);
    return event;
}

// Waits for a mutex. One that was abandoned is ours all the same; what it guards is looked at with that in mind.
bool take(const ipc::unique_handle& mutex, DWORD timeout) {
    const DWORD result = WaitForSingleObject(mutex.get(), timeout);
    if (result == WAIT_FAILED)
        ipc::throw_last_error("WaitForSingleObject");
    return result != WAIT_TIMEOUT;
}

// Who has the door sees nothing half-made except what a dead maker left.
class Door {
public:
    explicit Door(const std::string& name) : mutex_(open_mutex(name, ".door")) { take(mutex_, INFINITE); }
    Door(const Door&) = delete;
    ~Door() { ReleaseMutex(mutex_.get()); }

private:
    ipc::unique_handle mutex_;
};

// A new section, all zeros, or the one that is there already, of whatever size.
ipc::unique_handle open_section(const std::string& name, std::uint64_t total, bool& existed) {
    ipc::unique_handle section(CreateFileMappingW(INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, static_cast<DWORD>(total >> 32),
                                                  static_cast<DWORD>(total), name_of(name).c_str()));
    existed = GetLastError() == ERROR_ALREADY_EXISTS;  // a success with an afterthought
    if (!section)
        ipc::throw_last_error("CreateFileMappingW", name);
    return section;
}

// Makes the segment; `fill` writes what lies behind the header. The caller has the door.
template <class Fill>
void make(const Mapping& mapping, std::uint32_t kind, std::uint64_t size, const Fill& fill) {
    Header& header = mapping.header();
    header.version = layout_version;
    header.kind = kind;
    header.size = size;
    fill(mapping.bytes());
    header.magic.store(magic_number, std::memory_order_release);  // last: who sees it sees all that was written before
}

// Checks a mapped segment against what was asked for, and returns `size`: the one time that it is read.
std::uint64_t checked_size(const Mapping& mapping, std::uint32_t kind, std::size_t data_at, const std::string& name) {
    const Header& header = mapping.header();
    if (header.magic.load(std::memory_order_acquire) != magic_number)  // acquire: what follows is read after it
        throw refused_segment(name + " is not a segment of this lab: it does not begin with the magic number");
    if (header.version != layout_version)
        throw refused_segment(name + " has layout version " + std::to_string(header.version) + ", and this program knows 1");
    if (header.kind != kind)
        throw refused_segment(name + (kind == value_kind ? " holds no value (it is a ring?)" : " is no ring (it is a value?)"));
    // A volatile read is not for synchronisation: it keeps the compiler from reading a changing value twice.
    const std::uint64_t size = static_cast<const volatile std::uint64_t&>(header.size);
    if (mapping.size < data_at || size > mapping.size - data_at)
        throw refused_segment(name + " promises " + std::to_string(size) + " bytes, more than there are");
    return size;
}

// ---- a ring, seen from one of its ends ------------------------------------------------------------------------------

enum Role { sender_role, receiver_role };

struct View {
    End &self, &peer;
    char* data;
    std::uint64_t capacity;  // our own copy: the one in the segment may change after it was checked
    HANDLE bell = nullptr, peer_bell = nullptr;
    HANDLE peer_alive = nullptr;  // the mutex that the peer holds as long as it lives; not known in a loop, or before it came
    std::atomic<bool> peer_gone = false;

    View(char* memory, std::uint64_t size, Role role) : View(*reinterpret_cast<Ring*>(memory), memory + sizeof(Ring), size, role) {}

private:
    View(Ring& ring, char* behind, std::uint64_t size, Role role)
        : self(role == sender_role ? ring.sender : ring.receiver), peer(role == sender_role ? ring.receiver : ring.sender), data(behind), capacity(size) {}
};

// After a change that the other end may be waiting for. Change, then look whether it sleeps; the other end says that it
// sleeps, then looks for a change. In one total order (seq_cst) at least one of the two sees the other.
void tell_peer(View& view) {
    // Set back by the one who rings, or every move until the peer has really got up would make a system call to wake it.
    if (view.peer.asleep.load(std::memory_order_seq_cst) != 0 && view.peer.asleep.exchange(0, std::memory_order_seq_cst) != 0)
        SetEvent(view.peer_bell);
}

// Sleeps until `awake` says true, or the peer is gone.
template <class Awake>
void sleep_until(View& view, const Awake& awake) {
    for (;;) {
        view.self.asleep.store(1, std::memory_order_seq_cst);
        if (awake() || view.peer_gone.load(std::memory_order_acquire))
            break;
        before_sleep();
        // A bell that rings between the look and the wait is remembered: an event stays set until somebody has waited.
        const HANDLE awaited[] = {view.bell, view.peer_alive};
        const DWORD result = WaitForMultipleObjects(view.peer_alive ? 2 : 1, awaited, FALSE, INFINITE);
        if (result == WAIT_FAILED)
            ipc::throw_last_error("WaitForMultipleObjects");
        if (result == WAIT_OBJECT_0 + 1 || result == WAIT_ABANDONED_0 + 1) {
            ReleaseMutex(view.peer_alive);  // we wanted only to know that it could be had
            view.peer_gone.store(true, std::memory_order_release);
        }
    }
    view.self.asleep.store(0, std::memory_order_relaxed);  // stale for a moment at worst: one bell too many
}

std::uint64_t used(const View& view, std::uint64_t sent, std::uint64_t received) {
    if (sent - received > view.capacity)  // unsigned: a receiver ahead of the sender is a huge number
        throw refused_segment("the ring's positions can not be right: " + std::to_string(sent) + " bytes sent, " + std::to_string(received) +
                              " received, capacity " + std::to_string(view.capacity));
    return sent - received;
}

// A quarter at a time, so that both ends can be at work at once.
std::uint64_t piece(const View& view, std::uint64_t position, std::uint64_t count) {
    const std::uint64_t to_the_edge = view.capacity - position % view.capacity;
    return std::min({count, to_the_edge, std::max<std::uint64_t>(view.capacity / 4, 1)});
}

void write_ring(View& view, const Source& source) {
    End &self = view.self, &peer = view.peer;
    std::uint64_t sent = self.position.load(std::memory_order_relaxed);  // nobody else writes it
    for (;;) {
        // acquire: the receiver has done with these bytes before we overwrite them
        const std::uint64_t received = peer.position.load(std::memory_order_acquire);
        if (view.peer_gone.load(std::memory_order_acquire))
            throw peer_died("the receiver died or gave up: " + std::to_string(received) + " of " + std::to_string(sent) + " bytes were received");
        if (const std::uint64_t room = view.capacity - used(view, sent, received); room == 0) {
            sleep_until(view, [&] { return peer.position.load(std::memory_order_seq_cst) != received; });
        } else {
            const std::size_t count = source(view.data + sent % view.capacity, piece(view, sent, room));
            if (count == 0)
                break;
            sent += count;
            self.position.store(sent, std::memory_order_seq_cst);  // release: bytes first, then their number; seq_cst: see tell_peer()
            tell_peer(view);
        }
    }
    self.state.store(finished, std::memory_order_seq_cst);
    tell_peer(view);
    sleep_until(view, [&] { return peer.state.load(std::memory_order_seq_cst) == finished; });
    if (peer.state.load(std::memory_order_acquire) != finished || peer.position.load(std::memory_order_acquire) != sent)
        throw peer_died("the receiver died or gave up before it had everything");
}

void read_ring(View& view, const Sink& sink) {
    End &self = view.self, &peer = view.peer;
    std::uint64_t received = self.position.load(std::memory_order_relaxed);
    for (;;) {
        // These two before the position: whoever has finished or died has sent its last byte before.
        const bool gone = view.peer_gone.load(std::memory_order_acquire);
        const bool complete = peer.state.load(std::memory_order_acquire) == finished;
        const std::uint64_t sent = peer.position.load(std::memory_order_acquire);  // acquire: the bytes are there too
        if (const std::uint64_t there = used(view, sent, received); there > 0) {
            const std::uint64_t count = piece(view, received, there);
            sink(view.data + received % view.capacity, count);
            received += count;
            self.position.store(received, std::memory_order_seq_cst);  // release: we have done with the bytes
            tell_peer(view);
        } else if (complete) {
            break;
        } else if (gone) {
            throw peer_died("the sender died or gave up after " + std::to_string(received) + " bytes");
        } else {
            sleep_until(view, [&] {
                return peer.position.load(std::memory_order_seq_cst) != sent || peer.state.load(std::memory_order_seq_cst) == finished;
            });
        }
    }
    self.state.store(finished, std::memory_order_seq_cst);
    tell_peer(view);
}

// ---- two processes at one ring --------------------------------------------------------------------------------------

// One end of the ring `name`, joined. The ring vanishes with the last of its handles; there is no name to remove.
struct Membership {
    std::unique_ptr<Mapping> mapping;
    std::unique_ptr<View> view;
    ipc::unique_handle bell, peer_bell;
    ipc::unique_handle alive, peer_alive;  // mutexes: the kernel abandons them for the dead

    Membership(const std::string& name, Role role);
    ~Membership() { ReleaseMutex(alive.get()); }
};

Membership::Membership(const std::string& name, Role role)
    : bell(open_event(name, role == sender_role ? ".sender.bell" : ".receiver.bell", false)),
      peer_bell(open_event(name, role == sender_role ? ".receiver.bell" : ".sender.bell", false)),
      alive(open_mutex(name, role == sender_role ? ".sender" : ".receiver")),
      peer_alive(open_mutex(name, role == sender_role ? ".receiver" : ".sender")) {
    const Door door(name);
    bool existed = false;
    mapping = std::make_unique<Mapping>(open_section(name, sizeof(Ring) + default_capacity, existed), name);
    if (mapping->header().magic.load(std::memory_order_acquire) == 0) {
        if (mapping->size < sizeof(Ring) + default_capacity)
            throw refused_segment(name + " is half-made, and too small for a ring");
        make(*mapping, ring_kind, default_capacity, [](char*) {});
    }
    const std::uint64_t capacity = checked_size(*mapping, ring_kind, sizeof(Ring), name);
    if (capacity < 1 || capacity > largest_capacity)
        throw refused_segment(name + " has a ring of " + std::to_string(capacity) + " bytes");
    view = std::make_unique<View>(mapping->bytes(), capacity, role);
    End &self = view->self, &peer = view->peer;

    if (!take(alive, 0))
        ipc::throw_error(ERROR_BUSY, role == sender_role ? "send" : "receive", name + ": that end is taken");
    try {
        const bool fresh = self.state == absent && peer.state == absent;
        if (!fresh && take(peer_alive, 0)) {
            // Both died, and somebody who only looks keeps the section alive: start anew in it.
            ReleaseMutex(peer_alive.get());
            for (End* end : {&self, &peer}) {
                end->position = 0;
                end->state = absent;
                end->asleep = 0;
            }
        }
        const End &sender = role == sender_role ? self : peer, &receiver = role == sender_role ? peer : self;
        used(*view, sender.position, receiver.position);
        if (self.state != absent)
            ipc::throw_error(ERROR_BUSY, role == sender_role ? "send" : "receive", name + ": that end was taken before");
    } catch (...) {
        ReleaseMutex(alive.get());
        throw;
    }
    view->bell = bell.get();
    view->peer_bell = peer_bell.get();
    self.state.store(here, std::memory_order_seq_cst);
    tell_peer(*view);
}

}  // namespace

// ---- exercise 1: a value --------------------------------------------------------------------------------------------

void put(const std::string& name, std::string_view bytes, const std::function<void()>& published) {
    const ipc::unique_handle removed = open_event(name, ".removed", true);
    const ipc::unique_handle keeper = open_mutex(name, ".sender");
    std::optional<Mapping> mapping;
    {
        const Door door(name);
        bool existed = false;
        ipc::unique_handle section = open_section(name, sizeof(Header) + bytes.size(), existed);
        if (existed)
            ipc::throw_error(ERROR_ALREADY_EXISTS, "put", name);
        mapping.emplace(std::move(section), name);
        take(keeper, INFINITE);
        ResetEvent(removed.get());  // it may have been set for the one before us
        make(*mapping, value_kind, bytes.size(), [&](char* memory) { std::memcpy(memory + sizeof(Header), bytes.data(), bytes.size()); });
    }
    published();
    // Nothing but our handle keeps the value. Whoever removes it waits for the mutex, so let go of the section first.
    const DWORD result = WaitForSingleObject(removed.get(), INFINITE);
    mapping.reset();
    ReleaseMutex(keeper.get());
    if (result == WAIT_FAILED)
        ipc::throw_last_error("WaitForSingleObject", name + ".removed");
}

std::string get(const std::string& name) {
    ipc::unique_handle section(OpenFileMappingW(FILE_MAP_READ, FALSE, name_of(name).c_str()));
    if (!section)
        ipc::throw_last_error("OpenFileMappingW", name);
    const Mapping mapping(std::move(section), name, FILE_MAP_READ);
    const Door door(name);
    if (mapping.header().magic.load(std::memory_order_acquire) == 0)
        ipc::throw_error(ERROR_FILE_NOT_FOUND, "get", name + ": whoever was making it did not come to the end");
    const std::uint64_t size = checked_size(mapping, value_kind, sizeof(Header), name);
    return {mapping.bytes() + sizeof(Header), size};
}

void remove(const std::string& name) {
    {
        const Door door(name);
        const ipc::unique_handle section(OpenFileMappingW(FILE_MAP_READ, FALSE, name_of(name).c_str()));
        if (!section)
            ipc::throw_last_error("OpenFileMappingW", name);
        const ipc::unique_handle removed(OpenEventW(EVENT_MODIFY_STATE, FALSE, name_of(name, ".removed").c_str()));
        if (!removed)
            ipc::throw_error(ERROR_BUSY, "remove", name + ": it is in use, and vanishes with its last user");
        SetEvent(removed.get());
    }
    const ipc::unique_handle keeper = open_mutex(name, ".sender");
    take(keeper, INFINITE);  // it has let go, or died
    ReleaseMutex(keeper.get());
}

// ---- exercise 2: a ring between two threads -------------------------------------------------------------------------

void loop(std::uint64_t capacity, const Source& source, const Sink& sink) {
    ipc::unique_handle section(CreateFileMappingW(INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, 0,
                                                  static_cast<DWORD>(sizeof(Ring) + capacity), nullptr));  // no name, zeros
    if (!section)
        ipc::throw_last_error("CreateFileMappingW");
    const Mapping mapping(std::move(section), "a ring of " + std::to_string(capacity) + " bytes");
    View sending(mapping.bytes(), capacity, sender_role), receiving(mapping.bytes(), capacity, receiver_role);
    const ipc::unique_handle sender_bell(CreateEventW(nullptr, FALSE, FALSE, nullptr)), receiver_bell(CreateEventW(nullptr, FALSE, FALSE, nullptr));
    if (!sender_bell || !receiver_bell)
        ipc::throw_last_error("CreateEventW");
    sending.bell = receiving.peer_bell = sender_bell.get();
    receiving.bell = sending.peer_bell = receiver_bell.get();
    std::exception_ptr sender_error, receiver_error;
    std::thread sender([&] {
        try {
            write_ring(sending, source);
        } catch (...) {
            sender_error = std::current_exception();
            receiving.peer_gone.store(true, std::memory_order_release);
            SetEvent(receiving.bell);
        }
    });
    try {
        read_ring(receiving, sink);
    } catch (...) {
        receiver_error = std::current_exception();
        sending.peer_gone.store(true, std::memory_order_release);
        SetEvent(sending.bell);
    }
    sender.join();
    // Of the two, the first cause: the other end only says that its peer has gone.
    for (const std::exception_ptr& error : {sender_error, receiver_error})
        try {
            if (error)
                std::rethrow_exception(error);
        } catch (const peer_died&) {
        }
}

// ---- exercises 3 and 4: a ring between two processes ------------------------------------------------------------------

void send(const std::string& name, const Source& source, const std::function<void()>& ready) {
    Membership end(name, sender_role);
    ready();
    sleep_until(*end.view, [&] { return end.view->peer.state.load(std::memory_order_seq_cst) != absent; });
    end.view->peer_alive = end.peer_alive.get();  // from now on its death wakes us
    write_ring(*end.view, source);
}

void receive(const std::string& name, const Sink& sink, const std::function<void()>& ready) {
    Membership end(name, receiver_role);
    ready();
    sleep_until(*end.view, [&] { return end.view->peer.state.load(std::memory_order_seq_cst) != absent; });
    end.view->peer_alive = end.peer_alive.get();  // from now on its death wakes us
    read_ring(*end.view, sink);
}

}  // namespace shared_memory
