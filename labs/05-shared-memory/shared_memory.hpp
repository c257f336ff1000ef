#pragma once

/// @file
/// The contract of lab 05: the same bytes in two processes.
///
/// You write the six functions at the end, in posix.cpp or in win32.cpp. main.cpp calls them and is given. The layout of
/// the segment is given too: whoever keeps to it can be the other side, also a program that is not yours.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

/// Lab 05, shared memory: what is to be implemented.
namespace shared_memory {

// ---- what lies in a segment -----------------------------------------------------------------------------------------

inline constexpr std::uint32_t magic_number = 0x35306d73;  ///< "sm05" as its bytes lie in memory
inline constexpr std::uint32_t layout_version = 1;
inline constexpr std::uint32_t value_kind = 1, ring_kind = 2;

/// The beginning of every segment: what it is. Written once, by its maker.
///
/// A fresh segment is all zeros, on every system. `magic` is stored last: until then the segment is half-made, and
/// nothing else in it may be believed.
struct alignas(64) Header {
    std::atomic<std::uint32_t> magic;  ///< magic_number, or 0 while it is being made
    std::uint32_t version;             ///< layout_version
    std::uint32_t kind;                ///< value_kind: `size` bytes follow; ring_kind: Ring goes on, then `size` bytes
    std::uint32_t unused;
    std::uint64_t size;  ///< a value's length, or a ring's capacity: 1 to largest_capacity, not only powers of two
};

inline constexpr std::uint64_t default_capacity = 1 << 20, largest_capacity = 1 << 30;

/// Where one end of a ring is in its life.
enum State : std::uint32_t { absent = 0, here = 1, finished = 2 };

/// What one end of a ring tells the other.
///
/// The two ends lie on cache lines of their own: each is written by one process mostly, and a line that two processors
/// write in turn travels between them at every write.
struct alignas(64) End {
    std::atomic<std::uint64_t> position;  ///< bytes that this end has moved so far; byte n lies at n % capacity
    std::atomic<std::uint32_t> state;     ///< a State
    std::atomic<std::uint32_t> asleep;    ///< 1: this end sleeps, or is about to; ring its bell when you have moved. Set it
                                          ///< anew before each sleep: whoever rings may have set it back to 0
    std::atomic<std::uint32_t> bell;      ///< POSIX: the futex this end sleeps on; add 1, then FUTEX_WAKE (not _PRIVATE)
};

/// A ring: `size` bytes of data follow. Bytes sender.position - receiver.position, at most `size`, are in it.
struct Ring {
    Header header;
    End sender, receiver;
};

// Two processes, perhaps of two compilers, read this memory: no pointers, no padding to guess, no lock hidden in an atomic.
static_assert(sizeof(Header) == 64 && offsetof(Header, version) == 4 && offsetof(Header, kind) == 8 && offsetof(Header, size) == 16);
static_assert(sizeof(End) == 64 && offsetof(End, state) == 8 && offsetof(End, asleep) == 12 && offsetof(End, bell) == 16);
static_assert(sizeof(Ring) == 192 && offsetof(Ring, sender) == 64 && offsetof(Ring, receiver) == 128);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<std::uint32_t>) == 4 && std::is_standard_layout_v<Ring> && std::is_trivially_destructible_v<Ring>);

// ---- what lies around it ----------------------------------------------------------------------------------------------
//
// What the memory says can be a lie, or be left over from the dead. What the kernel keeps can not:
//
//                    POSIX                                            Win32
// the segment        shm_open("/NAME"), mode 0600                     file mapping   Local\NAME
// the door           flock(2) LOCK_EX on it (readers: LOCK_SH)        mutex          Local\NAME.door
// sender at work     fcntl(2) write lock on its byte 0                mutex          Local\NAME.sender
// receiver at work   fcntl(2) write lock on its byte 1                mutex          Local\NAME.receiver
// a bell             futex(2) on End::bell                            auto-reset events Local\NAME.sender.bell
//                                                                                   and Local\NAME.receiver.bell
// end of a value     (shm_unlink)                                     manual-reset event Local\NAME.removed
//
// The door is held while a segment is made, joined or removed, and never for longer. Who finds a segment half-made once
// it has the door finds the work of a maker that died: it goes on to make the segment (put, send, receive), or says that
// there is nothing to read (get). An end holds its lock from before it sets its state to `here` until it has ended, in
// whatever way: the kernel lets go for the dead. On Windows put holds NAME.sender for as long as it keeps the value.
// The locks on the two bytes are those of a process (F_SETLK), so that F_GETLK tells the other end whose they are.

// ---- what can go wrong, besides the system's own errors -----------------------------------------------------------------

/// The other side died or gave up before the stream was complete. lab-05 ends with exit code 3.
struct peer_died : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// What lies under the name is not what was asked for, or can not be right. lab-05 ends with exit code 4.
struct refused_segment : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// ---- given, in main.cpp -------------------------------------------------------------------------------------------------

/// Call this whenever you have found nothing to do and are about to sleep, on a futex or an event: after you have looked
/// at the other end, before the call that sleeps. It does nothing, unless somebody wants to see what happens when
/// the other end moves exactly now; then it stops the process for a while.
void before_sleep();

/// Fills [to, to + size) with some bytes of the stream, at least one, and returns how many; 0 at its end. It may block.
using Source = std::function<std::size_t(char* to, std::size_t size)>;
/// Takes all `size` bytes. It may block.
using Sink = std::function<void(const char* from, std::size_t size)>;

// ---- yours ------------------------------------------------------------------------------------------------------------

/// Stores `bytes` in a new segment called `name`, calls `published` once get() can find them, and returns when the
/// segment needs nobody any more.
///
/// On POSIX that is at once: the name keeps the segment until remove() or the next boot. On Windows a segment lives as
/// long as somebody has it open, so put() keeps it until remove() says otherwise.
/// A name that is in use stays as it is. A half-made segment of a maker that died is taken over.
///
/// @throws std::system_error EEXIST / ERROR_ALREADY_EXISTS: the name is in use, by whatever. Or what the system refuses
///         (EACCES, ENOSPC, …); then the name does not exist afterwards
/// @see shm_open(3), ftruncate(2), posix_fallocate(3), mmap(2), flock(2); CreateFileMappingW, MapViewOfFile, CreateMutexW
void put(const std::string& name, std::string_view bytes, const std::function<void()>& published);

/// The bytes that put() stored. Waits while a maker is at work behind the door; never returns half of a value.
///
/// @throws std::system_error ENOENT / ERROR_FILE_NOT_FOUND: nothing there, or nothing complete
/// @throws refused_segment other magic, version or kind, more bytes promised than there are; on POSIX also a segment that
///         is not ours (st_uid) or that others may write
std::string get(const std::string& name);

/// Removes the name, whatever lies under it, on Windows by telling the put() that keeps it, and returns when it is gone.
///
/// @throws std::system_error ENOENT / ERROR_FILE_NOT_FOUND: nothing there; Windows: ERROR_BUSY: a ring, which vanishes
///         with its last user
void remove(const std::string& name);

/// Moves a stream of any length from `source` to `sink` through a ring of `capacity` bytes in this process: the two ends
/// are two threads over one anonymous mapping.
///
/// Both ends work at the same time, on different parts of the ring. They hand on what they have at once, may give source
/// and sink memory of the ring itself, and sleep (before_sleep(), then futex or event) while there is nothing to do.
/// Memory does not grow with the stream.
///
/// @throws what source or sink throw, once both threads have ended
/// @see std::atomic, futex(2); CreateEventW, WaitForSingleObject
void loop(std::uint64_t capacity, const Source& source, const Sink& sink);

/// The sending end: makes the ring `name` with default_capacity, or joins one that is there, of any capacity. Calls `ready`
/// once it is joined (state `here`), and moves the stream as soon as there is a receiver. Returns when the receiver has
/// finished; the name is gone then.
///
/// Header and positions are checked before they are used, also when they change under our feet: whatever another
/// process writes there, this one touches only memory that is its own or the segment's. What is checked is used: `size`
/// is read once.
/// A ring that both its ends have left without finishing, because they died, is replaced by a new one.
///
/// @throws peer_died       the receiver ended before it had everything; within a second, also while we sleep
/// @throws refused_segment as get(); impossible capacity or positions; on POSIX also a segment that is cut short
///                         while it is mapped, unless the process ends with the same exit code at once
/// @throws std::system_error EBUSY / ERROR_BUSY: there is a sender, or was one while its receiver still is there
void send(const std::string& name, const Source& source, const std::function<void()>& ready);

/// The receiving end; everything as for send(), with the sides exchanged. Returns when the sender has finished and `sink`
/// has taken every byte. If the sender dies, `sink` still gets what was in the ring, then peer_died is thrown.
void receive(const std::string& name, const Sink& sink, const std::function<void()>& ready);

}  // namespace shared_memory
