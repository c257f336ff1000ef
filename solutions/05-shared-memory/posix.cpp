// Lab 05, posix track: the reference solution.

#include "shared_memory.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <linux/futex.h>
#include <memory>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace shared_memory {
namespace {

// ---- a segment ------------------------------------------------------------------------------------------------------

struct Mapping {
    explicit Mapping(std::size_t length, int file = -1, int access = PROT_READ | PROT_WRITE) : size(length) {
        address = ::mmap(nullptr, size, access, file == -1 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, file, 0);
        if (address == MAP_FAILED)
            ipc::throw_last_error("mmap");
    }
    Mapping(const Mapping&) = delete;
    ~Mapping() { ::munmap(address, size); }
    char* bytes() const { return static_cast<char*>(address); }
    Header& header() const { return *static_cast<Header*>(address); }

    void* address;
    std::size_t size;
};

std::string path_of(const std::string& name) { return "/" + name; }

// Opens `name` and takes its door: who has it sees nothing half-made except what a dead maker left.
ipc::unique_file open_at_door(const std::string& name, int flags, int door) {
    for (;;) {
        ipc::unique_file file(ipc::check(::shm_open(path_of(name).c_str(), flags, 0600), "shm_open", path_of(name)));
        while (::flock(file.get(), door) == -1)
            if (errno != EINTR)
                ipc::throw_last_error("flock", path_of(name));
        struct stat status {};
        ipc::check(::fstat(file.get(), &status), "fstat", path_of(name));
        if (status.st_nlink > 0)
            return file;
        // It was removed while we waited at the door: what bears the name now, if anything, is another segment.
    }
}

std::size_t size_of(const ipc::unique_file& file, const std::string& name) {
    struct stat status {};
    ipc::check(::fstat(file.get(), &status), "fstat", path_of(name));
    // /dev/shm is everybody's: another user may have been there first, with a name that we would trust.
    if (status.st_uid != ::geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        throw refused_segment(name + " belongs to another user, or others may write it");
    if (status.st_size > 0 && static_cast<std::size_t>(status.st_size) < sizeof(Header))
        throw refused_segment(name + " is only " + std::to_string(status.st_size) + " bytes long, less than a header");
    return static_cast<std::size_t>(status.st_size);
}

bool half_made(const ipc::unique_file& file, const std::string& name) {
    return size_of(file, name) == 0 || Mapping(sizeof(Header), file.get()).header().magic.load(std::memory_order_acquire) == 0;
}

// Makes the segment; `fill` writes what lies behind the header. The caller has the door.
template <class Fill>
void make(const ipc::unique_file& file, std::uint32_t kind, std::uint64_t size, std::size_t total, const Fill& fill) {
    ipc::check(::fchmod(file.get(), 0600), "fchmod");  // the umask may have taken more than we wanted
    ipc::check(::ftruncate(file.get(), 0), "ftruncate");  // what a dead maker left; zeros again
    // Not ftruncate(): memory that is promised and not there becomes SIGBUS at the first touch instead of ENOSPC here.
    if (const int error = ::posix_fallocate(file.get(), 0, static_cast<off_t>(total)); error != 0)
        ipc::throw_error(error, "posix_fallocate", std::to_string(total) + " bytes");
    const Mapping mapping(total, file.get());
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

// Somebody cut the segment short while it was mapped: the pages are gone, and there is nothing to go on with.
void on_bus_error(int) {
    ipc::print_signal_safe("lab-05: the segment was cut short by somebody else while it was in use (SIGBUS)\n");
    ::_exit(4);
}

void expect_bus_errors() { ::signal(SIGBUS, on_bus_error); }

// ---- a ring, seen from one of its ends ------------------------------------------------------------------------------

enum Role : off_t { sender_role = 0, receiver_role = 1 };  // also the byte of the segment that this end keeps locked

struct View {
    End &self, &peer;
    char* data;
    std::uint64_t capacity;  // our own copy: the one in the segment may change after it was checked
    std::atomic<bool> peer_gone = false;

    View(char* memory, std::uint64_t size, Role role) : View(*reinterpret_cast<Ring*>(memory), memory + sizeof(Ring), size, role) {}

private:
    View(Ring& ring, char* behind, std::uint64_t size, Role role)
        : self(role == sender_role ? ring.sender : ring.receiver), peer(role == sender_role ? ring.receiver : ring.sender), data(behind), capacity(size) {}
};

long futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value) {
    // Without FUTEX_PRIVATE_FLAG: the other side has the word at another address.
    return ::syscall(SYS_futex, &word, operation, value, nullptr, nullptr, 0);
}

void ring_bell(End& end) {
    end.bell.fetch_add(1, std::memory_order_release);
    futex(end.bell, FUTEX_WAKE, 1);
}

// After a change that the other end may be waiting for. Change, then look whether it sleeps; the other end says that it
// sleeps, then looks for a change. In one total order (seq_cst) at least one of the two sees the other.
void tell_peer(View& view) {
    // Set back by the one who rings, or every move until the peer has really got up would make a system call to wake it.
    if (view.peer.asleep.load(std::memory_order_seq_cst) != 0 && view.peer.asleep.exchange(0, std::memory_order_seq_cst) != 0)
        ring_bell(view.peer);
}

// Sleeps until `awake` says true, or the peer is gone.
template <class Awake>
void sleep_until(View& view, const Awake& awake) {
    End& self = view.self;
    for (;;) {
        // First the ticket, then the look: a bell that rings after the look makes the ticket stale, and futex returns at once.
        const std::uint32_t ticket = self.bell.load(std::memory_order_acquire);
        self.asleep.store(1, std::memory_order_seq_cst);
        if (awake() || view.peer_gone.load(std::memory_order_acquire))
            break;
        before_sleep();
        futex(self.bell, FUTEX_WAIT, ticket);  // EAGAIN, EINTR and spurious returns all mean: look again
    }
    self.asleep.store(0, std::memory_order_relaxed);  // stale for a moment at worst: one bell too many
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

bool claim(const ipc::unique_file& file, Role role) {
    // A lock of the process: gone with the process, and with the first close() of any descriptor of this file.
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_start = role;
    lock.l_len = 1;
    return ::fcntl(file.get(), F_SETLK, &lock) == 0;
}

// Who holds it, as the kernel says; 0 for nobody.
pid_t holder_of(const ipc::unique_file& file, Role role) {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_start = role;
    lock.l_len = 1;
    ipc::check(::fcntl(file.get(), F_GETLK, &lock), "fcntl", "F_GETLK");
    return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

// One end of the ring `name`, joined. Takes the name away when it goes, unless the other end has done so already.
struct Membership {
    std::string name;
    ipc::unique_file file;
    std::unique_ptr<Mapping> mapping;
    std::unique_ptr<View> view;

    Membership(std::string called, Role role);
    ~Membership() {
        ::flock(file.get(), LOCK_EX);
        struct stat status {};
        if (::fstat(file.get(), &status) == 0 && status.st_nlink > 0)  // or the name is somebody else's by now
            ::shm_unlink(path_of(name).c_str());
    }
};

Membership::Membership(std::string called, Role role) : name(std::move(called)) {
    for (;;) {
        ipc::unique_file opened = open_at_door(name, O_RDWR | O_CREAT, LOCK_EX);
        if (half_made(opened, name))
            try {
                make(opened, ring_kind, default_capacity, sizeof(Ring) + default_capacity, [](char*) {});
            } catch (...) {
                ::shm_unlink(path_of(name).c_str());
                throw;
            }
        auto mapped = std::make_unique<Mapping>(size_of(opened, name), opened.get());
        const std::uint64_t capacity = checked_size(*mapped, ring_kind, sizeof(Ring), name);
        if (capacity < 1 || capacity > largest_capacity)
            throw refused_segment(name + " has a ring of " + std::to_string(capacity) + " bytes");
        auto seen = std::make_unique<View>(mapped->bytes(), capacity, role);
        End &self = seen->self, &peer = seen->peer;

        const bool fresh = self.state == absent && peer.state == absent;
        if (!fresh && holder_of(opened, sender_role) == 0 && holder_of(opened, receiver_role) == 0) {
            ipc::check(::shm_unlink(path_of(name).c_str()), "shm_unlink", path_of(name));  // both died; start anew
            continue;
        }
        const End &sender = role == sender_role ? self : peer, &receiver = role == sender_role ? peer : self;
        used(*seen, sender.position, receiver.position);
        if (self.state != absent || !claim(opened, role))
            ipc::throw_error(EBUSY, role == sender_role ? "send" : "receive", name + ": that end is taken");
        file = std::move(opened);
        mapping = std::move(mapped);
        view = std::move(seen);
        self.state.store(here, std::memory_order_seq_cst);
        tell_peer(*view);
        ::flock(file.get(), LOCK_UN);
        return;
    }
}

// A thread that waits for the other process's end, and wakes us. The kernel knows who holds the lock; a process id in the
// segment could be anybody's by now.
class Watch {
public:
    Watch(View& view, const ipc::unique_file& file, Role peer)
        : stop_(ipc::check(::eventfd(0, EFD_CLOEXEC), "eventfd")) {
        const pid_t pid = holder_of(file, peer);
        if (pid > 0)
            process_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
        if (pid == 0 || !process_ || holder_of(file, peer) != pid) {  // the second look: the number may have been given away
            view.peer_gone.store(true, std::memory_order_release);
            return;
        }
        thread_ = std::thread([this, &view] {
            pollfd watched[2] = {{process_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
            while (::poll(watched, 2, -1) == -1 && errno == EINTR) {
            }
            if (watched[0].revents) {
                view.peer_gone.store(true, std::memory_order_release);
                ring_bell(view.self);
            }
        });
    }
    ~Watch() {
        ::eventfd_write(stop_.get(), 1);
        if (thread_.joinable())
            thread_.join();
    }

private:
    ipc::unique_file stop_, process_;
    std::thread thread_;
};

}  // namespace

// ---- exercise 1: a value --------------------------------------------------------------------------------------------

void put(const std::string& name, std::string_view bytes, const std::function<void()>& published) {
    const ipc::unique_file file = open_at_door(name, O_RDWR | O_CREAT, LOCK_EX);
    struct stat status {};
    ipc::check(::fstat(file.get(), &status), "fstat", path_of(name));
    if (status.st_size > 0 && (static_cast<std::size_t>(status.st_size) < sizeof(Header) || !half_made(file, name)))
        ipc::throw_error(EEXIST, "put", name);
    try {
        make(file, value_kind, bytes.size(), sizeof(Header) + bytes.size(),
             [&](char* memory) { std::memcpy(memory + sizeof(Header), bytes.data(), bytes.size()); });
    } catch (...) {
        ::shm_unlink(path_of(name).c_str());  // a name that is half-made would be worse than none
        throw;
    }
    published();
}

std::string get(const std::string& name) {
    expect_bus_errors();
    const ipc::unique_file file = open_at_door(name, O_RDONLY, LOCK_SH);
    const std::size_t total = size_of(file, name);
    if (total == 0)
        ipc::throw_error(ENOENT, "get", name + ": there is nothing in it yet");
    const Mapping mapping(total, file.get(), PROT_READ);
    if (mapping.header().magic.load(std::memory_order_acquire) == 0)
        ipc::throw_error(ENOENT, "get", name + ": whoever was making it did not come to the end");
    const std::uint64_t size = checked_size(mapping, value_kind, sizeof(Header), name);
    return {mapping.bytes() + sizeof(Header), size};
}

void remove(const std::string& name) { ipc::check(::shm_unlink(path_of(name).c_str()), "shm_unlink", path_of(name)); }

// ---- exercise 2: a ring between two threads -------------------------------------------------------------------------

void loop(std::uint64_t capacity, const Source& source, const Sink& sink) {
    const Mapping mapping(sizeof(Ring) + capacity);  // anonymous: zeros, and nobody else's
    View sending(mapping.bytes(), capacity, sender_role), receiving(mapping.bytes(), capacity, receiver_role);
    std::exception_ptr sender_error, receiver_error;
    std::thread sender([&] {
        try {
            write_ring(sending, source);
        } catch (...) {
            sender_error = std::current_exception();
            receiving.peer_gone.store(true, std::memory_order_release);
            ring_bell(receiving.self);
        }
    });
    try {
        read_ring(receiving, sink);
    } catch (...) {
        receiver_error = std::current_exception();
        sending.peer_gone.store(true, std::memory_order_release);
        ring_bell(sending.self);
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
    expect_bus_errors();
    Membership end(name, sender_role);
    ready();
    sleep_until(*end.view, [&] { return end.view->peer.state.load(std::memory_order_seq_cst) != absent; });
    const Watch watch(*end.view, end.file, receiver_role);
    write_ring(*end.view, source);
}

void receive(const std::string& name, const Sink& sink, const std::function<void()>& ready) {
    expect_bus_errors();
    Membership end(name, receiver_role);
    ready();
    sleep_until(*end.view, [&] { return end.view->peer.state.load(std::memory_order_seq_cst) != absent; });
    const Watch watch(*end.view, end.file, sender_role);
    read_ring(*end.view, sink);
}

}  // namespace shared_memory
