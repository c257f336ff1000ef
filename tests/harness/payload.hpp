#pragma once

/// @file
/// Random payloads from a seed: the same seed gives the same bytes in the judge and in its puppets, on every system.

#include <cstdint>
#include <string>
#include <string_view>

namespace judge {

/// splitmix64: tiny, seedable, good enough that nobody guesses the next byte.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    /// A number from `low` to `high`, both included.
    std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + next() % (high - low + 1); }

    /// `size` bytes of all values, NUL, CR and LF among them.
    std::string bytes(std::size_t size) {
        std::string text(size, '\0');
        fill(text.data(), size);
        return text;
    }
    /// `length` letters and digits: for names and messages that must be readable.
    std::string word(std::size_t length) {
        static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789";
        std::string text;
        for (std::size_t i = 0; i < length; ++i)
            text += letters[next() % letters.size()];
        return text;
    }

    void fill(char* to, std::size_t size);

private:
    std::uint64_t state_;
};

/// In the manner of FNV-1a, but eight bytes a step for speed: the value is ours alone and compared only with itself.
class Hash {
public:
    void add(const char* data, std::size_t size);
    std::uint64_t count() const { return count_; }
    std::string hex() const {
        Hash last = *this;
        last.word_ ^= count_;
        last.flush();
        static constexpr std::string_view digits = "0123456789abcdef";
        std::string text(16, '0');
        for (int i = 15; i >= 0; --i, last.value_ >>= 4)
            text[static_cast<std::size_t>(i)] = digits[last.value_ & 15];
        return text;
    }

private:
    void flush() {
        value_ = (value_ ^ word_) * 0x100000001b3ULL;
        value_ ^= value_ >> 29;
        word_ = 0;
        filled_ = 0;
    }
    std::uint64_t value_ = 0xcbf29ce484222325ULL;
    std::uint64_t word_ = 0;
    std::uint64_t count_ = 0;
    unsigned filled_ = 0;
};

}  // namespace judge
