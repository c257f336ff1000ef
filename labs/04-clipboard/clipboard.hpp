#pragma once

/// @file
/// The contract of lab 04: the clipboard, the channel between any two programs that the user chooses.
///
/// You write these four functions, in posix.cpp or in win32.cpp. main.cpp calls them and is given. On POSIX the clipboard
/// is the selection CLIPBOARD of the X server that the environment variable DISPLAY names; on Windows it is the one of
/// the window station that the process belongs to.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

/// Lab 04, the clipboard: what is to be implemented.
///
/// Types are named as in the Web's media types. Three of them each system calls by names of its own:
///
/// | here         | X11 targets                                                                   | Windows formats                    |
/// |--------------|-------------------------------------------------------------------------------|------------------------------------|
/// | `text/plain` | `UTF8_STRING`, `text/plain;charset=utf-8`, `text/plain`, `TEXT`; `STRING`, which is ISO 8859-1 with a `?` for what that lacks | `CF_UNICODETEXT`, ended by a NUL   |
/// | `text/html`  | `text/html`                                                                   | `HTML Format`, with its header     |
/// | `image/png`  | `image/png`                                                                   | `PNG`                              |
///
/// Every other type is an atom, or a registered format, of just that name; its bytes are taken as they are. Text is UTF-8
/// here, and its line ends stay as they are.
namespace clipboard {

/// One thing that is offered to whoever pastes.
struct Offer {
    std::string type;  ///< "text/plain", …; no type is offered twice
    /// Makes the bytes, which may take long or run a program. Called only when somebody asks for this type, and not
    /// again once it has given them. For text/plain they are UTF-8 without a NUL; they are never empty.
    /// @throws std::exception there will be no data
    std::function<std::string()> render;
};

/// What has become of the clipboard.
enum class Change {
    copied,   ///< somebody has put something on it
    emptied,  ///< there is nothing on it any more
};

/// What is on offer, in the order of the one who offers it; empty if nothing was copied.
///
/// `text/plain` stands once for all forms of text. On POSIX the targets that are requests rather than types (TARGETS,
/// MULTIPLE, TIMESTAMP, SAVE_TARGETS, DELETE) are left out; on Windows formats that are neither text nor registered.
///
/// @param patience how long another program may keep us waiting
/// @throws std::runtime_error the clipboard cannot be reached, is held open by another program (Windows), or its owner
///         dies or does not answer in time
/// @see ICCCM chapter 2; EnumClipboardFormats
std::vector<std::string> types(std::chrono::milliseconds patience);

/// The bytes that were copied as `type`, all of them and no others, however many.
///
/// On POSIX each piece of an INCR transfer may take the owner `patience`; an owner that dies is noticed at once. On Windows the
/// whole of it, an owner that still has to make its data included. Of an HTML Format it is the fragment, without the header.
///
/// @param type one of those that types() returns; on POSIX any other name of a target too
/// @throws std::runtime_error nothing was copied, `type` is not on offer (the message names those that are), or as types()
/// @see ICCCM chapters 2.4 and 2.7.2; OpenClipboard, GetClipboardData, GlobalSize
std::string paste(const std::string& type, std::chrono::milliseconds patience);

/// Puts `offers` on the clipboard, says ready (ipc::say_ready) once everybody can paste them, and serves whoever pastes,
/// any number at a time, until somebody else copies. Then it returns.
///
/// A render() that throws is said on standard error; who asked is told that there is none, and the service goes on.
/// - POSIX: the owner answers TARGETS, MULTIPLE and TIMESTAMP too. More than 256 KiB go by INCR, in pieces of at most as much. A
///   requestor that dies, or does not take its next piece within `patience`, is given up; the others never notice. Transfers
///   that have begun are brought to their end when the selection is lost.
/// - Windows: every format is promised first and rendered at WM_RENDERFORMAT. On Ctrl-C or Ctrl-Break what is still only
///   promised is rendered (WM_RENDERALLFORMATS) and stays on the clipboard; then copy returns.
///
/// @param patience also, on Windows, how long another program may hold the clipboard open
/// @throws std::runtime_error the clipboard cannot be reached or is held open, or another program was faster; the display
///         goes away while it serves. What was on the clipboard before is still there if it could not be opened
/// @see ICCCM chapters 2.1 to 2.3, 2.6.2, 2.7.2; SetClipboardData, WM_RENDERFORMAT, WM_DESTROYCLIPBOARD
void copy(const std::vector<Offer>& offers, std::chrono::milliseconds patience);

/// Says ready (ipc::say_ready) once no change can be missed, and then calls `changed` at every change, until it says false.
///
/// Blocks in between: nobody asks the clipboard whether there is something new. A paste is no change.
///
/// @throws std::runtime_error the clipboard cannot be reached, or goes away
/// @see XFixesSelectSelectionInput; AddClipboardFormatListener, WM_CLIPBOARDUPDATE
void watch(const std::function<bool(Change)>& changed);

}  // namespace clipboard
