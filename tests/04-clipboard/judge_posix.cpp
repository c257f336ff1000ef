// The judge as other programs at an X display, and what only the posix track has: the ICCCM, and real programs.

#include "peers.hpp"

#include "display_posix.hpp"
#include "ipc/error.hpp"
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <mutex>
#include <poll.h>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <xcb/xcb.h>
#include <xcb/xfixes.h>

namespace peers {
namespace {

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};
using Event = std::unique_ptr<xcb_generic_event_t, Free>;

template <class T>
const T& as(const Event& event) {
    return reinterpret_cast<const T&>(*event);
}

const std::vector<std::string> text_forms = {"STRING", "TEXT", "text/plain", "text/plain;charset=utf-8", "UTF8_STRING"};
constexpr std::size_t largest_piece = 256 * 1024;

bool contains(const std::vector<std::string>& all, const std::string& one) { return std::find(all.begin(), all.end(), one) != all.end(); }

// What ISO 8859-1 can say of a text.
std::string latin1(const std::string& text) {
    std::string bytes;
    for (std::size_t i = 0; i < text.size();) {
        const auto first = static_cast<unsigned char>(text[i]);
        const std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        const unsigned point = length == 1 ? first : length == 2 ? (first & 0x1fU) << 6 | (static_cast<unsigned char>(text[i + 1]) & 0x3fU) : 0x100U;
        bytes += point < 0x100 ? static_cast<char>(point) : '?';
        i += length;
    }
    return bytes;
}

// One program at the display: a connection and a window.
class Client {
public:
    explicit Client(const Display& display) {
        std::string protocol = "MIT-MAGIC-COOKIE-1", cookie = display.cookie();
        xcb_auth_info_t key{static_cast<int>(protocol.size()), protocol.data(), static_cast<int>(cookie.size()), cookie.data()};
        connection_ = xcb_connect_to_display_with_auth_info(display.name().c_str(), &key, nullptr);
        if (xcb_connection_has_error(connection_))
            throw std::runtime_error("the judge cannot reach its own X server " + display.name());
        root_ = xcb_setup_roots_iterator(xcb_get_setup(connection_)).data->root;
        window = xcb_generate_id(connection_);
        const std::uint32_t events = XCB_EVENT_MASK_PROPERTY_CHANGE;
        xcb_create_window(connection_, XCB_COPY_FROM_PARENT, window, root_, 0, 0, 1, 1, 0, XCB_WINDOW_CLASS_INPUT_ONLY,
                          XCB_COPY_FROM_PARENT, XCB_CW_EVENT_MASK, &events);
    }
    Client(const Client&) = delete;
    ~Client() { leave(); }

    xcb_connection_t* get() const { return connection_; }
    int descriptor() const { return xcb_get_file_descriptor(connection_); }
    // As the end of its process does.
    void leave() {
        if (connection_)
            xcb_disconnect(connection_);
        connection_ = nullptr;
    }
    xcb_atom_t atom(const std::string& name) {
        xcb_atom_t& known = atoms_[name];
        if (!known) {
            auto cookie = xcb_intern_atom(connection_, 0, static_cast<std::uint16_t>(name.size()), name.data());
            const std::unique_ptr<xcb_intern_atom_reply_t, Free> reply(xcb_intern_atom_reply(connection_, cookie, nullptr));
            known = answered(reply)->atom;
        }
        return known;
    }
    std::string name_of(xcb_atom_t atom) {
        if (atom == XCB_ATOM_NONE)
            return "None";
        const std::unique_ptr<xcb_get_atom_name_reply_t, Free> reply(
            xcb_get_atom_name_reply(connection_, xcb_get_atom_name(connection_, atom), nullptr));
        return reply ? std::string(xcb_get_atom_name_name(reply.get()), static_cast<std::size_t>(xcb_get_atom_name_name_length(reply.get())))
                     : "no atom (" + std::to_string(atom) + ")";
    }
    xcb_window_t owner(const char* of = "CLIPBOARD") {
        auto cookie = xcb_get_selection_owner(connection_, atom(of));
        const std::unique_ptr<xcb_get_selection_owner_reply_t, Free> reply(xcb_get_selection_owner_reply(connection_, cookie, nullptr));
        return answered(reply)->owner;
    }
    void own(xcb_window_t by) {
        xcb_set_selection_owner(connection_, by, atom("CLIPBOARD"), XCB_CURRENT_TIME);
        if (owner() != by)
            throw std::runtime_error("the judge cannot own the clipboard of its own X server");
    }
    void set(xcb_window_t of, xcb_atom_t property, xcb_atom_t type, int format, const void* data, std::size_t count) {
        xcb_change_property(connection_, XCB_PROP_MODE_REPLACE, of, property, type, static_cast<std::uint8_t>(format),
                            static_cast<std::uint32_t>(count), data);
    }
    void flush() { xcb_flush(connection_); }
    /// The next event, or none by the deadline.
    Event next(Deadline deadline) {
        for (;;) {
            if (Event event{xcb_poll_for_event(connection_)})
                return event;
            flush();
            pollfd entry{descriptor(), POLLIN, 0};
            if (xcb_connection_has_error(connection_) || ::poll(&entry, 1, deadline.poll_ms()) == 0)
                return nullptr;
        }
    }

    xcb_window_t window = XCB_WINDOW_NONE;

private:
    template <class Reply>
    const Reply& answered(const Reply& reply) {
        if (!reply)
            throw std::runtime_error("the judge's own X server has not answered");
        return reply;
    }
    xcb_connection_t* connection_;
    xcb_window_t root_;
    std::map<std::string, xcb_atom_t> atoms_;
};

// ---- a program that has copied --------------------------------------------------------------------------------------

class Program {
public:
    Program(const Display& display, std::vector<Item> items, Manner manner, std::size_t pieces, std::function<bool()> is_fair)
        : client_(display), items_(std::move(items)), manner_(manner), pieces_(pieces), is_fair_(std::move(is_fair)),
          wake_(ipc::check(::eventfd(0, EFD_CLOEXEC), "eventfd")) {
        client_.own(client_.window);
        thread_ = std::thread([this] { serve(); });
    }
    Program(const Program&) = delete;
    ~Program() {
        stop_ = true;
        wake();
        thread_.join();
        if (client_.get()) {
            xcb_destroy_window(client_.get(), client_.window);
            client_.owner();  // a round trip: it is gone now
        }
    }
    bool wait_until_asked(Deadline deadline) {
        std::unique_lock lock(mutex_);
        return changed_.wait_until(lock, deadline.at(), [&] { return asked_; });
    }
    xcb_window_t window() const { return client_.window; }
    void answer() {
        released_ = true;
        wake();
    }

private:
    struct Transfer {
        xcb_window_t requestor;
        xcb_atom_t property, type;
        std::string bytes;
        std::size_t sent, pieces;
    };

    void wake() {
        const std::uint64_t one = 1;
        [[maybe_unused]] const ssize_t told = ::write(wake_.get(), &one, sizeof one);
    }

    void serve() {
        while (!stop_ && client_.get()) {
            if (released_ && held_) {
                answer_data(as<xcb_selection_request_event_t>(held_));
                held_.reset();
            }
            if (Event event{xcb_poll_for_event(client_.get())}) {
                handle(std::move(event));
                continue;
            }
            client_.flush();
            pollfd entries[2] = {{client_.descriptor(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
            if (xcb_connection_has_error(client_.get()) || ::poll(entries, 2, -1) < 0)
                return;
            std::uint64_t count;
            if (entries[1].revents && ::read(wake_.get(), &count, sizeof count) < 0)
                return;
        }
    }

    void handle(Event event) {
        const int type = event->response_type & 0x7f;
        if (type == XCB_PROPERTY_NOTIFY)
            go_on(as<xcb_property_notify_event_t>(event));
        if (type != XCB_SELECTION_REQUEST || !is_fair_())
            return;
        const auto& request = as<xcb_selection_request_event_t>(event);
        if (request.target == client_.atom("TARGETS")) {
            answer_targets(request);
            return;
        }
        {
            const std::lock_guard lock(mutex_);
            asked_ = true;
            changed_.notify_all();
        }
        if (manner_ == Manner::answers || (manner_ == Manner::waits && released_) || pieces_ > 0)
            answer_data(request);
        else if (manner_ == Manner::dies)
            client_.leave();
        else
            held_ = std::move(event);
    }

    std::vector<std::string> targets_of(const Item& item) const {
        return item.type == "text/plain" ? text_forms : std::vector<std::string>{item.type};
    }

    void answer_targets(const xcb_selection_request_event_t& request) {
        std::vector<xcb_atom_t> atoms;
        for (const char* name : {"TIMESTAMP", "TARGETS", "MULTIPLE", "SAVE_TARGETS"})
            atoms.push_back(client_.atom(name));
        for (const Item& item : items_)
            for (const std::string& target : targets_of(item))
                atoms.push_back(client_.atom(target));
        client_.set(request.requestor, request.property, XCB_ATOM_ATOM, 32, atoms.data(), atoms.size());
        notify(request, request.property);
    }

    void answer_data(const xcb_selection_request_event_t& request) {
        const std::string target = client_.name_of(request.target);
        for (const Item& item : items_) {
            if (!contains(targets_of(item), target))
                continue;
            const std::string bytes = item.type == "text/plain" && target == "STRING" ? latin1(item.bytes) : item.bytes;
            const xcb_atom_t type = target == "TEXT" ? client_.atom("UTF8_STRING") : request.target;
            if (bytes.size() > largest_piece || pieces_ > 0)
                begin(request, type, bytes);
            else
                client_.set(request.requestor, request.property, type, 8, bytes.data(), bytes.size());
            notify(request, request.property);
            return;
        }
        notify(request, XCB_ATOM_NONE);
    }

    void begin(const xcb_selection_request_event_t& request, xcb_atom_t type, const std::string& bytes) {
        const std::uint32_t events = XCB_EVENT_MASK_PROPERTY_CHANGE;
        xcb_change_window_attributes(client_.get(), request.requestor, XCB_CW_EVENT_MASK, &events);
        const auto at_least = static_cast<std::uint32_t>(bytes.size() / 2);  // a lower bound is all that it must be
        client_.set(request.requestor, request.property, client_.atom("INCR"), 32, &at_least, 1);
        transfers_.push_back({request.requestor, request.property, type, bytes, 0, 0});
    }

    void go_on(const xcb_property_notify_event_t& changed) {
        for (Transfer& transfer : transfers_) {
            if (changed.state != XCB_PROPERTY_DELETE || transfer.requestor != changed.window || transfer.property != changed.atom)
                continue;
            if (pieces_ > 0 && transfer.pieces == pieces_) {
                if (manner_ == Manner::dies)
                    client_.leave();
                return;
            }
            const std::size_t size = std::min(random_.between(1, 2 * largest_piece), transfer.bytes.size() - transfer.sent);
            client_.set(transfer.requestor, transfer.property, transfer.type, 8, transfer.bytes.data() + transfer.sent, size);
            transfer.sent += size;
            ++transfer.pieces;
            if (size == 0)
                transfer.requestor = XCB_WINDOW_NONE;
            return;
        }
    }

    void notify(const xcb_selection_request_event_t& request, xcb_atom_t property) {
        xcb_selection_notify_event_t event{};
        event.response_type = XCB_SELECTION_NOTIFY;
        event.time = request.time;
        event.requestor = request.requestor;
        event.selection = request.selection;
        event.target = request.target;
        event.property = property;
        xcb_send_event(client_.get(), 0, request.requestor, 0, reinterpret_cast<const char*>(&event));
    }

    Client client_;
    const std::vector<Item> items_;
    const Manner manner_;
    const std::size_t pieces_;
    const std::function<bool()> is_fair_;
    Random random_{7};
    std::vector<Transfer> transfers_;
    Event held_;
    ipc::unique_file wake_;
    std::atomic<bool> stop_ = false, released_ = false;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool asked_ = false;
    std::thread thread_;
};

// ---- a program that pastes ------------------------------------------------------------------------------------------

class Requestor {
public:
    /// @param ours the window of the judge's own program, if that has copied
    Requestor(Stage& stage, const Display& display, xcb_window_t ours = XCB_WINDOW_NONE) : client(display), stage_(stage), ours_(ours) {}

    struct Property {
        std::string type, bytes;
        int format = 0;
        bool there = false;
    };

    void convert(const std::string& target, const std::string& property = "JUDGE", const Mistake& otherwise = {}) {
        if (client.owner() == XCB_WINDOW_NONE) {
            const bool primary = client.owner("PRIMARY") != XCB_WINDOW_NONE;
            stage_.fail({"the lab program owns the selection CLIPBOARD",
                         primary                      ? "nobody owns it; but somebody owns PRIMARY, which is what the mouse has marked"
                         : otherwise == "serves-once" ? "it ended before that, and nobody owns it"
                                                      : "nobody owns it", "", "",
                         primary ? "owns-primary" : otherwise});
        }
        xcb_convert_selection(client.get(), client.window, client.atom("CLIPBOARD"), client.atom(target),
                              property.empty() ? static_cast<xcb_atom_t>(XCB_ATOM_NONE) : client.atom(property), XCB_CURRENT_TIME);
        client.flush();
    }
    // Waits for SelectionNotify; false if it refuses.
    bool notified(const std::string& target, const Mistake& otherwise) {
        const Event event = wait([&](const Event& one) { return (one->response_type & 0x7f) == XCB_SELECTION_NOTIFY; },
                                 "the owner answers the request for " + target + " (SelectionNotify)", otherwise);
        const auto& notify = as<xcb_selection_notify_event_t>(event);
        stage_.require(notify.target == client.atom(target) && notify.selection == client.atom("CLIPBOARD"),
                       {"the answer names what was asked for: CLIPBOARD, " + target,
                        client.name_of(notify.selection) + ", " + client.name_of(notify.target), "", "", "wrong-answer"});
        if (notify.property != XCB_ATOM_NONE)
            return true;
        stage_.require(client.owner() != XCB_WINDOW_NONE, {"the owner answers the request for " + target, "nobody owns the clipboard any more", "", "", otherwise});
        return false;
    }
    Property read(const std::string& property) {
        const std::unique_ptr<xcb_get_property_reply_t, Free> reply(xcb_get_property_reply(
            client.get(), xcb_get_property(client.get(), 1, client.window, client.atom(property), XCB_GET_PROPERTY_TYPE_ANY, 0, 0x1fffffff), nullptr));
        if (!reply)
            throw std::runtime_error("the judge cannot read a property of its own window");
        Property got;
        got.there = reply->type != XCB_ATOM_NONE;
        got.type = client.name_of(reply->type);
        got.format = reply->format;
        got.bytes.assign(static_cast<const char*>(xcb_get_property_value(reply.get())), static_cast<std::size_t>(xcb_get_property_value_length(reply.get())));
        return got;
    }
    // The next piece of an INCR transfer, read and so asked for the one after it; empty at the end.
    Property piece(const std::string& property, const Mistake& otherwise) {
        piece_is_there(property, otherwise);
        return take_piece(property);
    }
    void piece_is_there(const std::string& property, const Mistake& otherwise) {
        wait([&](const Event& one) {
            const auto& changed = as<xcb_property_notify_event_t>(one);
            return (one->response_type & 0x7f) == XCB_PROPERTY_NOTIFY && changed.atom == client.atom(property) &&
                   changed.state == XCB_PROPERTY_NEW_VALUE;
        }, "the owner writes the next piece", otherwise);
    }
    Property take_piece(const std::string& property) {
        const Property got = read(property);
        stage_.require(got.bytes.size() <= largest_piece, {"pieces of at most 256 KiB", std::to_string(got.bytes.size()) + " bytes at once", "", "", "no-incr"});
        return got;
    }
    std::string rest(const std::string& property, const Mistake& otherwise) {
        std::string all;
        for (Property got = piece(property, otherwise); !got.bytes.empty(); got = piece(property, otherwise))
            all += got.bytes;
        return all;
    }
    // Everything, whichever way it comes.
    std::optional<Property> ask(const std::string& target, const Mistake& otherwise) {
        convert(target, "JUDGE", otherwise);
        if (!notified(target, otherwise))
            return std::nullopt;
        Property got = read("JUDGE");
        stage_.require(got.there, {"the answer to " + target + " lies in the property that was named", "there is no such property", "", "", "wrong-answer"});
        if (got.type == "INCR") {
            got.bytes = rest("JUDGE", otherwise);
            got.type = target;
            got.format = 8;
        } else
            stage_.require(got.bytes.size() <= largest_piece, {"more than 256 KiB come by INCR", std::to_string(got.bytes.size()) + " bytes at once", "", "", "no-incr"});
        return got;
    }

    Client client;

private:
    Event wait(const std::function<bool(const Event&)>& is_it, const std::string& what, const Mistake& otherwise) {
        Event found;
        const auto attempt = [&](Deadline deadline) {
            for (bool asked = false; !found;) {
                Event event = client.next(deadline);
                if (!event && std::exchange(asked, true))
                    return false;
                if (!event)
                    client.owner();  // a round trip: a server that is waiting for the processor stands still only in appearance
                else if (is_it(event))
                    found = std::move(event);
            }
            return true;
        };
        if (ours_ != XCB_WINDOW_NONE && client.owner() == ours_)
            await_ours(stage_, attempt, what);
        else
            stage_.await(attempt, what, otherwise);
        return found;
    }
    Stage& stage_;
    xcb_window_t ours_;
};

}  // namespace

// ---- the desk -------------------------------------------------------------------------------------------------------

struct Desk::State {
    explicit State(Stage& stage) : display(stage), observer(display) {}
    Display display;
    Client observer;
    std::unique_ptr<Program> program;
    std::mutex mutex;
    bool served = false;            // somebody has been given something
    std::vector<Process*> pasting, copying;  // they may start nobody who does it for them

    // Asked by the program's thread while whoever pastes waits for its answer.
    bool is_fair() {
        const std::lock_guard lock(mutex);
        for (Process* process : pasting)
            for (const ProcessInfo& one : process->tree())
                if (!one.zombie && !one.name.starts_with("lab-04") && !one.name.starts_with("judge-04"))
                    return false;
        return true;
    }
};

Desk::Desk(Stage& stage) : stage_(stage), state_(std::make_unique<State>(stage)) {
    stage.recognise("(xclip|xsel|wish|xsel|python\\S*|sh|bash) \\(pid \\d+\\)", "asks-another-program");
}
Desk::~Desk() = default;

Subject Desk::start(std::vector<std::string> arguments, Start how) {
    how.environment.merge(state_->display.environment());
    const bool pastes = !arguments.empty() && (arguments[0] == "paste" || arguments[0] == "types");
    const bool copies = !arguments.empty() && arguments[0] == "copy";
    Subject lab = stage_.start(std::move(arguments), how);
    if (pastes) {
        const std::lock_guard lock(state_->mutex);
        state_->pasting.push_back(&lab.process());
    }
    if (copies)
        state_->copying.push_back(&lab.process());
    return lab;
}

namespace {

// Whoever has answered for a `copy` is running now.
void answers_itself(Stage& stage, const std::vector<Process*>& copying) {
    for (Process* process : copying)
        for (const ProcessInfo& one : process->tree())
            stage.require(one.zombie || one.name.starts_with("lab-04") || one.name.starts_with("puppet"),
                          {"the lab program answers for what it has copied", "it is " + one.name + " that answers", "", "", "asks-another-program"});
}

}  // namespace

void Desk::copy(std::vector<Item> items, Manner manner, std::size_t pieces) {
    // The new one owns the clipboard before the old one goes: else it would be empty in between.
    state_->program = std::make_unique<Program>(state_->display, std::move(items), manner, pieces, [this] { return state_->is_fair(); });
}

void Desk::is_asked(const Mistake& otherwise) {
    stage_.await([&](Deadline deadline) { return state_->program->wait_until_asked(deadline); },
                 "the lab program asks the owner for the data (ConvertSelection)", otherwise);
}

void Desk::answer() { state_->program->answer(); }

void Desk::empty() {
    state_->program.reset();  // what its owner has not given to anybody goes with it
    if (state_->observer.owner() != XCB_WINDOW_NONE)
        state_->observer.own(XCB_WINDOW_NONE);
}

std::optional<std::string> Desk::ask(const std::string& type, const Mistake& otherwise) {
    Requestor requestor(stage_, state_->display, state_->program ? state_->program->window() : static_cast<xcb_window_t>(XCB_WINDOW_NONE));
    const std::string target = type == "text/plain" ? "UTF8_STRING" : type;
    const auto got = requestor.ask(target, otherwise.empty() && state_->served ? "serves-once" : otherwise);
    answers_itself(stage_, state_->copying);
    if (!got)
        return std::nullopt;
    state_->served = true;
    stage_.require(got->type == target && got->format == 8,
                   {"the answer to " + target + " is a property of type " + target + " and format 8", got->type + ", format " + std::to_string(got->format), "", "", "wrong-answer"});
    return got->bytes;
}

std::vector<std::string> Desk::types(const Mistake& otherwise) {
    Requestor requestor(stage_, state_->display);
    const auto got = requestor.ask("TARGETS", otherwise.empty() ? "no-targets" : otherwise);
    stage_.require(got.has_value(), {"the owner answers TARGETS", "it refuses", "", "", "no-targets"});
    stage_.require(got->type == "ATOM" && got->format == 32, {"the answer to TARGETS is a list: type ATOM, format 32", got->type + ", format " + std::to_string(got->format), "", "", "no-targets"});
    std::vector<std::string> names, types;
    for (std::size_t i = 0; i + 4 <= got->bytes.size(); i += 4) {
        xcb_atom_t atom;
        std::memcpy(&atom, got->bytes.data() + i, 4);
        names.push_back(requestor.client.name_of(atom));
    }
    stage_.require(contains(names, "TARGETS"), {"TARGETS is among the targets itself", "it is not", "", "", "no-targets"});
    for (const std::string& name : names) {
        const std::string type = contains(text_forms, name) ? "text/plain" : name;
        if (name != "TARGETS" && name != "MULTIPLE" && name != "TIMESTAMP" && !contains(types, type))
            types.push_back(type);
    }
    return types;
}

void Desk::gets_all_forms_of(const std::string& text) {
    for (const std::string& form : text_forms) {
        Requestor requestor(stage_, state_->display);
        const std::string expected = form == "STRING" ? latin1(text) : text;
        const Mistake mistake = form == "STRING" ? "string-is-utf8" : "";
        const auto got = requestor.ask(form, "serves-once");
        stage_.require(got.has_value(), {"the owner gives text as " + form + " too", "it refuses", "", "", "one-form-of-text"});
        stage_.require(form != "STRING" || got->bytes != text, {"STRING is ISO 8859-1", "it is UTF-8: " + shown(got->bytes), "", "", mistake});
        stage_.require(got->bytes == expected, {"the text as " + form, difference(got->bytes, expected), "", "", mistake});
        const std::string type = form == "TEXT" ? "UTF8_STRING" : form;
        stage_.require(got->type == type, {"the answer to " + form + " is of type " + type, got->type, "", "", "wrong-answer"});
    }
}

namespace {

// ---- real programs --------------------------------------------------------------------------------------------------

class Tool {
public:
    Tool(Stage& stage, Desk& desk, std::vector<std::string> command, const std::string& input = {}) : stage_(stage) {
        const std::string program = installed(command[0]);
        if (program.empty())
            stage.unavailable(command[0] + " is not installed here");
        command[0] = program;
        StartRequest request;
        request.command = std::move(command);
        request.environment = desk.state().display.environment();
        request.environment["HOME"] = stage.files();
        request.environment["LC_ALL"] = "C.UTF-8";
        auto [read_end, write_end] = make_pipe(256 * 1024);
        for (std::size_t sent = 0; sent < input.size();)
            sent += write_end.write(input.data() + sent, input.size() - sent);
        write_end.close();
        request.input = std::move(read_end);
        auto [words, end] = make_pipe();
        request.output = std::move(end);
        process_ = Process::start(std::move(request));
        words_ = std::move(words);
    }
    // While a program starts, the lab program rightly stands still: that is no hang, so only the time counts.
    static Deadline limit(const Stage& stage) {
        return Deadline::in(std::chrono::duration_cast<milliseconds>(milliseconds(15'000) * stage.time_scale()));
    }
    std::string output() {
        const Deadline deadline = limit(stage_);
        std::string all;
        for (;;) {
            pollfd entry{words_.get(), POLLIN, 0};
            char buffer[64 * 1024];
            if (::poll(&entry, 1, deadline.poll_ms()) <= 0)
                stage_.fail({"another program pastes what was copied", "it has got " + std::to_string(all.size()) + " bytes, and waits for more", "", "", ""});
            const std::size_t count = words_.read(buffer, sizeof buffer);
            if (count == 0)
                return all;
            all.append(buffer, count);
        }
    }

private:
    Stage& stage_;
    std::optional<Process> process_;
    Stream words_;
};

// Another program has copied, when `copies` has made it start.
std::unique_ptr<Tool> owning(Stage& stage, Desk& desk, const std::vector<std::string>& command, const std::string& input = {}) {
    Client& observer = desk.state().observer;
    const auto* xfixes = xcb_get_extension_data(observer.get(), &xcb_xfixes_id);
    std::free(xcb_xfixes_query_version_reply(observer.get(), xcb_xfixes_query_version(observer.get(), 1, 0), nullptr));
    xcb_xfixes_select_selection_input(observer.get(), observer.window, observer.atom("CLIPBOARD"), XCB_XFIXES_SELECTION_EVENT_MASK_SET_SELECTION_OWNER);
    observer.owner();
    while (observer.next(Deadline::in(milliseconds(0)))) {
    }
    auto tool = std::make_unique<Tool>(stage, desk, command, input);
    const Deadline deadline = Tool::limit(stage);
    while (const Event event = observer.next(deadline))
        if ((event->response_type & 0x7f) == xfixes->first_event + XCB_XFIXES_SELECTION_NOTIFY)
            return tool;
    throw std::runtime_error(command[0] + " has not copied in time");
}

void pastes(Stage& stage, Desk& desk, const std::vector<std::string>& command, const std::string& expected) {
    const std::string got = Tool(stage, desk, command).output();
    stage.require(got == expected, {command[0] + " pastes what was copied", difference(got, expected), "", "", ""});
    answers_itself(stage, desk.state().copying);
}

void prints(Desk& desk, std::vector<std::string> arguments, const std::string& expected) {
    Subject lab = desk.start(std::move(arguments));
    lab.prints(expected);
    lab.exits(0);
}

// It has ended, or waits for somebody else.
void settles(Stage& stage, Subject& lab) {
    std::string before;
    stage.await([&](Deadline deadline) {
        const std::string now = lab.process().stillness();
        const bool still = !now.empty() && now == before;
        before = now;
        return lab.process().wait(deadline) || still;
    }, "the lab program ends or waits", "");
}

// A moment of the server's clock, which goes on in milliseconds from zero.
std::uint32_t number_in(const Requestor::Property& property) {
    std::uint32_t number = 0;
    if (property.bytes.size() == 4)
        std::memcpy(&number, property.bytes.data(), 4);
    return number;
}

}  // namespace
}  // namespace peers

using namespace peers;

EXERCISE("Exercise 4: large and hostile") {

CASE("4.18 the owner answers as the ICCCM asks" * points(4) * section("the-rules-of-the-house") *
     hints("Who may ask you, and for what, other than for the data?",
           "TIMESTAMP: since when you own it. MULTIPLE: several targets at once. A target that you do not have is refused with a property None; a requestor may be dead before you answer.",
           "Always send SelectionNotify. MULTIPLE: read ATOM_PAIR from the requestor, convert each, put None into the pairs that fail. Let errors for dead windows pass.")) {
    stage.by_hand("echo hello | lab-04 copy & xclip -selection clipboard -t TIMESTAMP -o");
    Desk desk(stage);
    const std::string text = nasty_text(stage.random());
    Subject lab = desk.copies({}, text);
    const Display& display = desk.state().display;

    Requestor clock(stage, display);
    const auto since = clock.ask("TIMESTAMP", "refusal-unsaid");
    stage.require(since && since->type == "INTEGER" && since->format == 32 && number_in(*since) != 0,
                  {"TIMESTAMP is an INTEGER of 32 bits, the time since when it owns the clipboard",
                   !since ? "it is refused" : since->type + ", format " + std::to_string(since->format) + ", " + std::to_string(number_in(*since)), "", "", "no-timestamp"});

    Requestor other(stage, display);
    const std::string missing = "application/x-" + stage.random().word(8);
    other.convert(missing);
    stage.require(!other.notified(missing, "refusal-unsaid"), {"a target that is not on offer is refused: property None", "it is given", "", "", "answers-everything"});

    Requestor several(stage, display);
    Client& client = several.client;
    const xcb_atom_t pairs[] = {client.atom("UTF8_STRING"), client.atom("P1"), client.atom(missing), client.atom("P2"), client.atom("TARGETS"), client.atom("P3")};
    client.set(client.window, client.atom("JUDGE"), client.atom("ATOM_PAIR"), 32, pairs, 6);
    several.convert("MULTIPLE");
    stage.require(several.notified("MULTIPLE", "refusal-unsaid"), {"MULTIPLE is answered", "it is refused", "", "", "no-multiple"});
    const auto one = several.read("P1"), two = several.read("P2"), three = several.read("P3");
    stage.require(one.bytes == text && three.type == "ATOM" && !two.there, {"each of the targets in MULTIPLE is in its own property", difference(one.bytes, text), "", "", "no-multiple"});
    const auto told = several.read("JUDGE");
    xcb_atom_t now[6] = {};
    std::memcpy(now, told.bytes.data(), std::min(sizeof now, told.bytes.size()));
    stage.require(told.type == "ATOM_PAIR" && now[1] == pairs[1] && now[5] == pairs[5] && (now[2] == XCB_ATOM_NONE || now[3] == XCB_ATOM_NONE),
                  {"the pair that failed has None, the others are as they were", "the failed pair is " + client.name_of(now[2]) + ", " + client.name_of(now[3]), "", "", "failed-pair-unsaid"});

    // From before the ICCCM: no property is named, the target's name is used.
    Requestor old(stage, display);
    old.convert("UTF8_STRING", "");
    stage.require(old.notified("UTF8_STRING", "refusal-unsaid") && old.read("UTF8_STRING").bytes == text,
                  {"a request without a property is answered in the property UTF8_STRING", "it is not", "", "", "property-none"});

    // Dead before it could be answered. Who asks next is there already: a number of a dead one's window may be given again.
    Requestor next(stage, display);
    {
        Requestor dead(stage, display), dead_with_pairs(stage, display);
        lab.process().suspend();
        dead.convert("UTF8_STRING");
        dead_with_pairs.convert("MULTIPLE");
        dead.client.owner();
        dead_with_pairs.client.owner();
    }
    lab.process().resume();
    const auto got = next.ask("UTF8_STRING", "dies-with-requestor");
    stage.require(got && got->bytes == text, {"the next one gets the text", got ? difference(got->bytes, text) : "it is refused", "", "", "dies-with-requestor"});
    lab.idles();
    desk.copy({{"text/plain", "x"}});
    lab.exits(0, "stays-when-lost");
}

CASE("4.19 several large pastes go on side by side whatever becomes of one of them" * points(4) * section("too-much-at-once") *
     hints("How many can be in the middle of a transfer?",
           "Each requestor has its own pace. One may die, one may never ask for its next piece, and another program may copy meanwhile.",
           "Keep a list of transfers, each with requestor, property, offset and deadline; StructureNotify tells of a dead one. After SelectionClear go on until the list is empty.")) {
    stage.by_hand("lab-04 copy --type image/png <big & for i in 1 2 3; do xclip -selection clipboard -t image/png -o | cksum & done");
    Desk desk(stage);
    const std::string bytes = stage.random().bytes(stage.random().between(1'500'000, 2'000'000));
    const std::string type = "application/x-" + stage.random().word(8);
    Subject lab = desk.copies({"--type", type}, bytes);
    const Display& display = desk.state().display;
    auto begun = [&](Requestor& requestor) {
        requestor.convert(type);
        stage.require(requestor.notified(type, "no-incr") && requestor.read("JUDGE").type == "INCR", {"more than 256 KiB come by INCR", "they do not", "", "", "no-incr"});
        return requestor.piece("JUDGE", "no-incr").bytes;
    };
    Requestor slow(stage, display);
    const std::string head = begun(slow);
    {
        Requestor dies(stage, display);
        begun(dies);
    }
    desk.gets(type, bytes, "one-at-a-time");
    std::string got = head;
    for (int i = 0; i < 2; ++i)  // the first of them had been written before the others came
        got += slow.piece("JUDGE", "one-at-a-time").bytes;
    desk.copy({{"text/plain", "x"}});
    while (got.size() < bytes.size()) {
        slow.piece_is_there("JUDGE", "abandons-transfers");
        lab.process().suspend();  // when we ask for the end, it is to answer to a server that is busy elsewhere
        const auto piece = slow.take_piece("JUDGE");
        stage.require(!piece.bytes.empty(), {"a slow requestor gets as many bytes as the others", difference(got, bytes), "", "", "one-at-a-time"});
        got += piece.bytes;
        if (got.size() < bytes.size())
            lab.process().resume();
    }
    stage.require(got == bytes, {"a slow requestor gets the same bytes as the others", difference(got, bytes), "", "", "one-at-a-time"});
    desk.state().display.server().suspend();
    lab.process().resume();
    settles(stage, lab);
    desk.state().display.server().resume();
    stage.require(slow.piece("JUDGE", "leaves-before-read").bytes.empty(), {"a last piece of no bytes", "more bytes than were copied", "", "", "one-at-a-time"});
    lab.exits(0);

    // Who does not ask for its next piece is given up.
    Subject again = desk.copies({"--type", type, "--timeout", "300"}, bytes);
    Requestor stuck(stage, display);
    stuck.convert(type);
    stage.require(stuck.notified(type, "no-incr"), {"the request is answered", "it is refused", "", "", "no-incr"});
    desk.copy({{"text/plain", "x"}});
    again.exits(0, "waits-for-the-stuck");
}

CASE("4.20 without a display every verb says so and none waits for a server that has ended" * points(3) * section("no-display") *
     hints("Where does xcb_connect() tell that it could not?",
           "It never returns NULL: ask xcb_connection_has_error(), then and whenever no event comes.",
           "Throw std::runtime_error naming DISPLAY after the connect; in the loop, a null event with an error on the connection is the end, not a reason to try again.")) {
    stage.by_hand("DISPLAY= lab-04 paste; DISPLAY=:59999 lab-04 types; XAUTHORITY=/dev/null lab-04 paste");
    stage.patience(milliseconds(6000));  // who asks a dead server again and again never stands still
    Desk desk(stage);
    auto refused = [&](std::vector<std::string> arguments, std::map<std::string, std::optional<std::string>> environment) {
        Start how;
        how.environment = std::move(environment);
        Subject lab = desk.start(std::move(arguments), how);
        lab.feed("x");
        lab.close_input();
        lab.exits(1, "display-unchecked");
        lab.complains("DISPLAY", "display-unchecked");
    };
    Subject watch = desk.start({"watch"});
    watch.ready();
    const std::string text = stage.random().word(10);
    Subject copy = desk.copies({}, text);
    desk.gets("text/plain", text);
    for (const char* verb : {"paste", "types", "copy", "watch"}) {
        refused({verb}, {{"DISPLAY", std::nullopt}});
        refused({verb}, {{"DISPLAY", ":59999"}});
    }
    refused({"paste"}, {{"XAUTHORITY", "/dev/null"}});
    watch.line();
    desk.state().display.end();
    copy.exits(1, "end-of-server-unseen");
    watch.exits(1, "end-of-server-unseen");
}

CASE("4.21 xclip and xsel paste what copy offers and paste takes what they offer" * points(3) * section("with-other-programs") *
     hints("Your two verbs understand each other. Do others understand them?",
           "xclip asks for UTF8_STRING, xsel for TARGETS first; they send large data in pieces of their own size.",
           "If 4.6, 4.14 and 4.15 pass this one does; else look at what they ask for with: xclip -selection clipboard -t TARGETS -o")) {
    stage.by_hand("echo hello | lab-04 copy & xclip -selection clipboard -o; xsel --clipboard --output");
    Desk desk(stage);
    const std::string text = nasty_text(stage.random()), line = stage.random().word(30), data = stage.random().bytes(150'000);
    Subject lab = desk.copies({"--type", "text/plain", "--type", "text/html"}, text);
    pastes(stage, desk, {"xclip", "-selection", "clipboard", "-o"}, text);
    pastes(stage, desk, {"xclip", "-selection", "clipboard", "-t", "text/html", "-o"}, text);
    pastes(stage, desk, {"xsel", "--clipboard", "--output"}, text);
    const auto xclip = owning(stage, desk, {"xclip", "-selection", "clipboard", "-quiet", "-i"}, text);
    lab.exits(0, "stays-when-lost");
    prints(desk, {"paste"}, text);
    const auto picture = owning(stage, desk, {"xclip", "-selection", "clipboard", "-quiet", "-t", "image/png", "-i"}, data);
    prints(desk, {"types"}, "image/png\n");
    prints(desk, {"paste", "--type", "image/png"}, data);
    const auto xsel = owning(stage, desk, {"xsel", "--clipboard", "--nodetach", "--input"}, line);
    prints(desk, {"paste"}, line);
}

CASE("4.22 a program with windows pastes what copy offers and the other way round" * points(3) * section("with-other-programs") *
     hints("A toolkit is more particular than a small tool. What does it ask for that xclip does not?",
           "Tk asks for UTF8_STRING, looks at the property's type and format, and takes INCR in its event loop.",
           "The type of the property is UTF8_STRING, its format 8. If it hangs in the middle, see 4.15.")) {
    stage.by_hand("echo hello | lab-04 copy & echo 'puts [clipboard get -type UTF8_STRING]; exit' | wish");
    Desk desk(stage);
    const std::string text = nasty_text(stage.random()), line = stage.random().word(30);
    std::string large;
    while (large.size() < 600'000)
        large += stage.random().word(60) + "\n";
    const std::string script = "wm withdraw .; fconfigure stdout -encoding utf-8 -translation lf\n";
    auto tk = [&](const std::string& expected) {
        const std::string got = Tool(stage, desk, {"wish"}, script + "puts -nonewline [clipboard get -type UTF8_STRING]; exit\n").output();
        stage.require(got == expected, {"a Tk program pastes what was copied", difference(got, expected), "", "", ""});
    };
    Subject lab = desk.copies({}, text);
    tk(text);
    Subject second = desk.copies({}, large);
    lab.exits(0, "stays-when-lost");
    tk(large);
    const auto owner = owning(stage, desk, {"wish"}, script + "clipboard clear; clipboard append {" + line + "}; vwait forever\n");
    second.exits(0, "stays-when-lost");
    prints(desk, {"paste"}, line);
}

}
