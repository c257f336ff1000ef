// Lab 04, win32 track: the reference solution.

#include "clipboard.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <cwchar>
#include <future>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <windows.h>

namespace clipboard {
namespace {

using std::chrono::milliseconds;

std::string process_of(HWND window) {
    DWORD id = 0;
    ::GetWindowThreadProcessId(window, &id);
    return id ? "process " + std::to_string(id) : "another program";
}

// The clipboard, open: only one program at a time can have it. It is closed on every way out of the scope; left open, it
// would be locked for everyone.
class OpenClipboard {
public:
    OpenClipboard(HWND window, ipc::Deadline deadline) {
        while (!::OpenClipboard(window)) {
            const std::error_code error = ipc::last_error();
            if (deadline.expired())
                throw std::system_error(error, "OpenClipboard: " + process_of(::GetOpenClipboardWindow()) + " holds the clipboard open; end it, or try again");
            ::Sleep(10);  // nobody is told when it is closed
        }
    }
    OpenClipboard(const OpenClipboard&) = delete;
    ~OpenClipboard() { ::CloseClipboard(); }
};

// A window that is not seen, only gets messages; they go to `procedure`, with `self` in the window's user data.
class MessageWindow {
public:
    MessageWindow(WNDPROC procedure, void* self) {
        WNDCLASSW kind{};
        kind.lpszClassName = L"IpcLabsClipboard";
        kind.hInstance = ::GetModuleHandleW(nullptr);
        kind.lpfnWndProc = procedure;
        if (!::RegisterClassW(&kind) && ::GetLastError() != ERROR_CLASS_ALREADY_EXISTS)
            ipc::throw_last_error("RegisterClassW");
        window_ = ::CreateWindowExW(0, kind.lpszClassName, nullptr, 0, 0, 0, 0, 0, HWND_MESSAGE, nullptr, kind.hInstance, nullptr);
        if (!window_)
            ipc::throw_last_error("CreateWindowExW", "HWND_MESSAGE");
        ::SetWindowLongPtrW(window_, GWLP_USERDATA, reinterpret_cast<LONG_PTR>(self));
    }
    MessageWindow(const MessageWindow&) = delete;
    ~MessageWindow() { ::DestroyWindow(window_); }
    HWND get() const { return window_; }

private:
    HWND window_ = nullptr;
};

// A block of the kind that the clipboard takes.
struct global_kind {
    using value_type = HGLOBAL;
    static value_type none() noexcept { return nullptr; }
    static void close(value_type value) noexcept { ::GlobalFree(value); }
};
using Block = ipc::unique_resource<global_kind>;

Block block_of(const void* bytes, std::size_t size) {
    Block block(::GlobalAlloc(GMEM_MOVEABLE, size));
    void* const memory = block ? ::GlobalLock(block.get()) : nullptr;
    if (!memory)
        ipc::throw_last_error("GlobalAlloc", std::to_string(size) + " bytes");
    std::memcpy(memory, bytes, size);
    ::GlobalUnlock(block.get());
    return block;
}

// ---- types ------------------------------------------------------------------------------------------------------------

constexpr const wchar_t* html_format = L"HTML Format";
constexpr const wchar_t* png_format = L"PNG";

UINT format_of(const std::string& type) {
    if (type == "text/plain")
        return CF_UNICODETEXT;
    const std::wstring name = type == "text/html" ? html_format : type == "image/png" ? png_format : ipc::to_wide(type);
    const UINT format = ::RegisterClipboardFormatW(name.c_str());
    if (!format)
        ipc::throw_last_error("RegisterClipboardFormatW", type);
    return format;
}

// Empty for a format that is no block of bytes, such as a bitmap's handle.
std::string type_of(UINT format) {
    if (format == CF_UNICODETEXT || format == CF_TEXT || format == CF_OEMTEXT)
        return "text/plain";
    wchar_t name[256];
    if (format < 0xc000 || !::GetClipboardFormatNameW(format, name, 256))
        return "";
    if (!std::wcscmp(name, html_format))
        return "text/html";
    if (!std::wcscmp(name, png_format))
        return "image/png";
    return ipc::to_utf8(name);
}

// The number behind `name:` in the header of an HTML Format.
std::size_t header_number(std::string_view data, std::string_view name) {
    const std::size_t at = data.find(std::string(name) + ":");
    std::size_t number = 0;
    if (at == std::string_view::npos ||
        std::from_chars(data.data() + at + name.size() + 1, data.data() + data.size(), number).ec != std::errc())
        throw std::runtime_error("the HTML on the clipboard has no " + std::string(name) + " in its header");
    return number;
}

// The offsets in the header are of bytes, from its own first one.
std::string fragment_of(std::string_view data) {
    const std::size_t start = header_number(data, "StartFragment"), end = header_number(data, "EndFragment");
    if (start > end || end > data.size())
        throw std::runtime_error("the HTML on the clipboard has a header that points beyond its end");
    return std::string(data.substr(start, end - start));
}

std::string with_header(const std::string& fragment) {
    static constexpr std::string_view before = "<html><body>\r\n<!--StartFragment-->", after = "<!--EndFragment-->\r\n</body></html>";
    static constexpr const char* header = "Version:0.9\r\nStartHTML:%010zu\r\nEndHTML:%010zu\r\nStartFragment:%010zu\r\nEndFragment:%010zu\r\n";
    char text[200];
    const auto length = static_cast<std::size_t>(std::snprintf(text, sizeof text, header, std::size_t(0), std::size_t(0), std::size_t(0), std::size_t(0)));
    const std::size_t start = length + before.size(), end = start + fragment.size();
    std::snprintf(text, sizeof text, header, length, end + after.size(), start, end);
    return text + std::string(before) + fragment + std::string(after);
}

// What goes on the clipboard for `data`, and what comes off it.
Block packed(const std::string& type, const std::string& data) {
    if (type == "text/plain") {
        const std::wstring text = ipc::to_wide(data);
        return block_of(text.c_str(), (text.size() + 1) * sizeof(wchar_t));  // with its NUL
    }
    const std::string bytes = type == "text/html" ? with_header(data) : data;
    return block_of(bytes.data(), bytes.size());
}

std::string unpacked(const std::string& type, std::string_view bytes) {
    if (type == "text/plain") {
        // The block may be larger than the text: a NUL ends it.
        const std::wstring_view text(reinterpret_cast<const wchar_t*>(bytes.data()), bytes.size() / sizeof(wchar_t));
        return ipc::to_utf8(text.substr(0, text.find(L'\0')));
    }
    return type == "text/html" ? fragment_of(bytes) : std::string(bytes);
}

// ---- pasting ----------------------------------------------------------------------------------------------------------

// Does `work` in a thread that can be left behind: an owner that has only promised its data is asked for it in the middle of
// GetClipboardData, which waits for ever. The end of our process closes the clipboard.
template <class Work>
auto within(milliseconds patience, Work work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    std::thread(std::move(task)).detach();
    // A little more than OpenClipboard gets, which then can say who holds it.
    if (result.wait_for(patience + milliseconds(50)) != std::future_status::ready)
        throw std::runtime_error("the program that owns the clipboard has not answered within " + std::to_string(patience.count()) +
                                 " ms; does it still run? (--timeout MS waits longer)");
    return result.get();
}

// The formats that are there, of an open clipboard.
std::vector<UINT> formats() {
    std::vector<UINT> all;
    for (UINT format = 0; (format = ::EnumClipboardFormats(format)) != 0;)
        all.push_back(format);
    return all;
}

std::vector<std::string> types_of(const std::vector<UINT>& formats) {
    std::vector<std::string> types;
    for (const UINT format : formats) {
        const std::string type = type_of(format);
        if (!type.empty() && std::find(types.begin(), types.end(), type) == types.end())
            types.push_back(type);
    }
    return types;
}

std::string read(const std::string& type, const std::vector<UINT>& offered) {
    const bool text = type == "text/plain";  // of its three formats the system makes each from each
    const auto format = std::find_if(offered.begin(), offered.end(), [&](UINT one) { return type_of(one) == type; });
    const HANDLE handle = ::GetClipboardData(text ? CF_UNICODETEXT : *format);
    if (!handle)
        throw std::runtime_error("the program that owns the clipboard does not give it as " + type + ", which it had offered; "
                                 "has it ended?");
    const void* const memory = ::GlobalLock(handle);  // the clipboard's: to be copied, and not to be freed
    if (!memory)
        ipc::throw_last_error("GlobalLock", type);
    const std::string bytes(static_cast<const char*>(memory), ::GlobalSize(handle));
    ::GlobalUnlock(handle);
    return unpacked(type, bytes);
}

// ---- copying ----------------------------------------------------------------------------------------------------------

class Owner {
public:
    Owner(const std::vector<Offer>& offers, milliseconds patience)
        : offers_(offers), made_(offers.size()), patience_(patience), window_(procedure, this) {
        const OpenClipboard open(window_.get(), ipc::Deadline::in(patience_));
        if (!::EmptyClipboard())  // this makes our window the owner
            ipc::throw_last_error("EmptyClipboard");
        for (const Offer& offer : offers_) {
            ::SetLastError(ERROR_SUCCESS);
            ::SetClipboardData(format_of(offer.type), nullptr);  // a promise; NULL is its answer also when all is well
            if (::GetLastError() != ERROR_SUCCESS)
                ipc::throw_last_error("SetClipboardData", offer.type);
        }
    }
    ~Owner() { interrupted_window = nullptr; }

    void serve() {
        interrupted_window = window_.get();
        ::SetConsoleCtrlHandler(interrupted, TRUE);
        MSG message;
        while (::GetMessageW(&message, nullptr, 0, 0) > 0)
            ::DispatchMessageW(&message);
    }

private:
    // Comes in a thread of the system's: only the window's own thread can destroy it.
    static BOOL WINAPI interrupted(DWORD) {
        const HWND window = interrupted_window;
        return window && ::PostMessageW(window, WM_CLOSE, 0, 0);
    }

    static LRESULT CALLBACK procedure(HWND window, UINT message, WPARAM parameter, LPARAM other) {
        auto* const self = reinterpret_cast<Owner*>(::GetWindowLongPtrW(window, GWLP_USERDATA));
        switch (message) {
        case WM_RENDERFORMAT:  // somebody has the clipboard open and asks for it
            self->render(static_cast<UINT>(parameter));
            return 0;
        case WM_RENDERALLFORMATS:  // our window is about to go
            self->render_all();
            return 0;
        case WM_DESTROYCLIPBOARD:  // somebody else has copied
        case WM_DESTROY:
            ::PostQuitMessage(0);
            return 0;
        default: return ::DefWindowProcW(window, message, parameter, other);
        }
    }

    void render(UINT format) noexcept {
        for (std::size_t i = 0; i < offers_.size(); ++i)
            if (format_of(offers_[i].type) == format)
                made_[i] = make(offers_[i], format);
    }

    // Nothing may be thrown through the system, which has called us.
    static bool make(const Offer& offer, UINT format) noexcept {
        try {
            Block block = packed(offer.type, offer.render());
            if (!::SetClipboardData(format, block.get()))
                ipc::throw_last_error("SetClipboardData", offer.type);
            (void)block.release();  // it is the clipboard's now
            return true;
        } catch (const std::exception& error) {
            std::fprintf(stderr, "lab-04: %s cannot be pasted: %s\n", offer.type.c_str(), error.what());
            return false;
        }
    }

    void render_all() noexcept {
        try {
            const OpenClipboard open(window_.get(), ipc::Deadline::in(patience_));
            if (::GetClipboardOwner() != window_.get())
                return;  // somebody has copied just now
            for (std::size_t i = 0; i < offers_.size(); ++i)
                made_[i] = made_[i] || make(offers_[i], format_of(offers_[i].type));
        } catch (const std::exception& error) {
            std::fprintf(stderr, "lab-04: what was copied is lost: %s\n", error.what());
        }
    }

    static inline std::atomic<HWND> interrupted_window = nullptr;
    const std::vector<Offer>& offers_;
    std::vector<bool> made_;
    milliseconds patience_;
    MessageWindow window_;  // last: it goes first, and may call us then
};

}  // namespace

std::vector<std::string> types(milliseconds patience) {
    const OpenClipboard open(nullptr, ipc::Deadline::in(patience));
    return types_of(formats());
}

std::string paste(const std::string& type, milliseconds patience) {
    return within(patience, [=] {
        const OpenClipboard open(nullptr, ipc::Deadline::in(patience));
        const std::vector<UINT> offered = formats();
        if (offered.empty())
            throw std::runtime_error("the clipboard is empty; copy something first");
        std::string list;
        bool there = false;
        for (const std::string& one : types_of(offered)) {
            list += (list.empty() ? "" : ", ") + one;
            there = there || one == type;
        }
        if (!there)
            throw std::runtime_error(type + " is not on the clipboard; there is: " + list);
        return read(type, offered);
    });
}

void copy(const std::vector<Offer>& offers, milliseconds patience) {
    Owner owner(offers, patience);
    ipc::say_ready();
    owner.serve();
}

void watch(const std::function<bool(Change)>& changed) {
    const MessageWindow window(::DefWindowProcW, nullptr);
    if (!::AddClipboardFormatListener(window.get()))
        ipc::throw_last_error("AddClipboardFormatListener");
    ipc::say_ready();

    MSG message;
    while (::GetMessageW(&message, window.get(), 0, 0) > 0)
        if (message.message == WM_CLIPBOARDUPDATE && !changed(::CountClipboardFormats() > 0 ? Change::copied : Change::emptied))
            return;
}

}  // namespace clipboard
