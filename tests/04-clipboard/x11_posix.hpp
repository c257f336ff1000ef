#pragma once

/// @file
/// Programs at an X display, made of raw requests of the protocol, and the desk where the judge of lab 04 sits.

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

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};
using Event = std::unique_ptr<xcb_generic_event_t, Free>;

template <class T>
const T& as(const Event& event) {
    return reinterpret_cast<const T&>(*event);
}

inline const std::vector<std::string> text_forms = {"STRING", "TEXT", "text/plain", "text/plain;charset=utf-8", "UTF8_STRING"};
constexpr std::size_t largest_piece = 256 * 1024;

inline bool contains(const std::vector<std::string>& all, const std::string& one) { return std::find(all.begin(), all.end(), one) != all.end(); }

// What ISO 8859-1 can say of a text.
inline std::string latin1(const std::string& text) {
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

/// Whoever has answered for a `copy` is running now: no other program has been started for it.
void answers_itself(Stage& stage, const std::vector<Process*>& copying);

}  // namespace peers
