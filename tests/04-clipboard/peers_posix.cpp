// The judge as other programs at an X display.

#include "x11_posix.hpp"

namespace peers {

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

void answers_itself(Stage& stage, const std::vector<Process*>& copying) {
    for (Process* process : copying)
        for (const ProcessInfo& one : process->tree())
            stage.require(one.zombie || one.name.starts_with("lab-04") || one.name.starts_with("puppet"),
                          {"the lab program answers for what it has copied", "it is " + one.name + " that answers", "", "", "asks-another-program"});
}

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

}  // namespace peers
