#pragma once

/// @file
/// The contract of lab 02: two processes that share nothing but a name.
///
/// You write these four functions, in posix.cpp or in win32.cpp. main.cpp calls them and is given.
///
/// | | posix: a FIFO | win32: a named pipe |
/// |---|---|---|
/// | a name is | a path | NAME of `\\.\pipe\NAME` |
/// | a message on its way is | a line: the text and `\n` | one message of a message-mode pipe: the text alone |
/// | a request is | the line `PID TEXT\n` in the server's FIFO | one message, the text alone |
/// | an answer is | a line in the FIFO `NAME.PID`, which the client has made | one message in the same pipe |
///
/// What is made is for its owner alone: a FIFO has mode 0600 whatever the umask is, a pipe's access list names
/// the user who runs the program and nobody else, and it refuses clients from other machines.

#include "ipc/clock.hpp"
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

/// Lab 02, named pipes: what is to be implemented.
namespace named_pipes {

/// Sends each of `texts` as one message to whoever reads from `name`, in order.
///
/// Makes the FIFO if there is none, and waits until somebody reads (on Windows: until there is a reader's pipe that is
/// not busy with another writer). Waiting uses no processor.
/// Each message that fits into PIPE_BUF bytes with its line end is written whole or not at all, so that those of
/// several writers never mix. Longer ones may take several writes.
///
/// @param texts     UTF-8 without line ends, of any length, also empty
/// @param deadline  until when a reader must have come; once there is one, sending takes as long as the reader takes
/// @throws std::system_error ETIMEDOUT / ERROR_SEM_TIMEOUT nobody has come to read; EINVAL `name` is something else than
///         a FIFO (it is left as it was); EPIPE / ERROR_NO_DATA the reader has gone in between; else the system's own code
/// @see mkfifo(3), fifo(7), open(2) on ENXIO, pipe(7) on PIPE_BUF; CreateFileW, WaitNamedPipeW, WriteFile
void send(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline);

using OnMessage = std::function<void(const std::string& text)>;

/// Waits for a writer, and hands over each message as soon as it is complete, until the last writer has gone.
///
/// Makes the FIFO if there is none, and leaves it there: somebody may be about to use the name. On Windows it makes the
/// pipe, one instance, for one writer at a time.
/// Messages may be of any length. What a writer leaves without a line end is a message too.
///
/// @throws std::system_error EINVAL `name` is something else than a FIFO (it is left as it was); else the system's own code
/// @see fifo(7), read(2); CreateNamedPipeW, ConnectNamedPipe on ERROR_PIPE_CONNECTED, ReadFile on ERROR_MORE_DATA
void receive(const std::string& name, const OnMessage& on_message);

/// The longest text of a request, in bytes: it and its answer, with their headers and line ends, fit into PIPE_BUF.
constexpr std::size_t longest_request = 4000;

/// What the server has to say to a client. Never throws; at most 64 bytes longer than `text`.
using Answer = std::function<std::string(unsigned long client, const std::string& text)>;

/// Answers requests until it is told to stop: by SIGINT or SIGTERM, on Windows by CTRL_C_EVENT or CTRL_BREAK_EVENT.
///
/// Any number of clients at a time, at least 50; those of one client are answered in their order. No client can stop the server or keep
/// it from the others: not one that is gone when its answer comes, nor one that never reads (an answer for which it
/// leaves no room is dropped), nor one that connects and says nothing, nor one that sends what is no request or is longer
/// than longest_request (that is not answered).
/// Waiting uses no processor, also when the last client has gone.
///
/// A FIFO that is there already is taken over if nobody reads from it. The name is gone when serve() returns or throws,
/// unless it was somebody else's.
///
/// @param answer    called with the client's process id (on Windows as the system tells it) and the request's text
/// @param on_ready  called once, when clients can come
/// @throws std::system_error EADDRINUSE / ERROR_ACCESS_DENIED somebody serves that name already (he is not disturbed); EINVAL
///         `name` is something else than a FIFO (it is left as it was); else the system's own code
/// @see poll(2), signalfd(2), open(2) on O_NONBLOCK; CreateNamedPipeW on PIPE_REJECT_REMOTE_CLIENTS and
///      FILE_FLAG_FIRST_PIPE_INSTANCE, GetNamedPipeClientProcessId, WaitForMultipleObjects, CancelIoEx, SetConsoleCtrlHandler
void serve(const std::string& name, const Answer& answer, const std::function<void()>& on_ready);

/// Sends each of `texts` as a request to the server of `name`, and hands over its answer before the next is sent.
///
/// No FIFO of its own is left, however it ends: also when SIGINT or SIGTERM (CTRL_C_EVENT, CTRL_BREAK_EVENT) ends the
/// waiting.
///
/// @param texts     UTF-8 without line ends
/// @param deadline  until when all must be done
/// @throws std::system_error ENXIO or ENOENT / ERROR_FILE_NOT_FOUND nobody serves that name, at once; EMSGSIZE / ERROR_BAD_LENGTH
///         a text is longer than longest_request (nothing is sent then); EPIPE / ERROR_BROKEN_PIPE the server has gone
///         before it has answered; ETIMEDOUT / ERROR_SEM_TIMEOUT; EINTR / ERROR_OPERATION_ABORTED told to stop; else the system's own code
/// @see mkfifo(3), open(2) on ENXIO, poll(2) on POLLERR; WaitNamedPipeW, SetNamedPipeHandleState, CancelIoEx
void request(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline,
             const OnMessage& on_answer);

}  // namespace named_pipes
