// The two loops that see every byte; compiled with optimisation also in a debug build.

#include "payload.hpp"

#include <cstring>

namespace judge {

void Random::fill(char* to, std::size_t size) {
    std::size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        const std::uint64_t value = next();  // every system that we run on is little-endian
        std::memcpy(to + i, &value, 8);
    }
    if (i < size) {
        const std::uint64_t value = next();
        std::memcpy(to + i, &value, size - i);
    }
}

void Hash::add(const char* data, std::size_t size) {
    count_ += size;
    std::size_t i = 0;
    for (; i < size && filled_ != 0; ++i) {
        word_ |= static_cast<std::uint64_t>(static_cast<unsigned char>(data[i])) << (8 * filled_);
        if (++filled_ == 8)
            flush();
    }
    for (; i + 8 <= size; i += 8) {
        std::memcpy(&word_, data + i, 8);
        flush();
    }
    for (; i < size; ++i)
        word_ |= static_cast<std::uint64_t>(static_cast<unsigned char>(data[i])) << (8 * filled_++);
}

}  // namespace judge
