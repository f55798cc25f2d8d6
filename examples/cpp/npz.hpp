// Reads the arrays of a golden case: an .npz file is a zip file of .npy files that are not compressed.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

inline std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path.string());
    return {std::istreambuf_iterator<char>(file), {}};
}

struct Array {  // row-major numbers of a .npy file: float32 or int64
    size_t rows = 0, width = 1;
    std::string bytes;
    template <class T> std::vector<T> row(size_t index) const {
        std::vector<T> found(width);
        std::memcpy(found.data(), bytes.data() + index * width * sizeof(T), width * sizeof(T));
        return found;
    }
};

template <class T> T number(const std::string& bytes, size_t at) {  // little-endian, as this processor
    T found;
    if (at + sizeof(T) > bytes.size()) throw std::runtime_error("a file ends too early");
    std::memcpy(&found, bytes.data() + at, sizeof(T));
    return found;
}

inline Array read_npy(const std::string& npy) {
    const size_t length = number<uint16_t>(npy, 8);
    const std::string head = npy.substr(10, length);
    if (npy.compare(0, 6, "\x93NUMPY") || npy[6] != 1 || head.find("'fortran_order': False") == head.npos)
        throw std::runtime_error("an array is not .npy 1.0 in row-major order");
    Array array;
    const char* at = head.c_str() + head.find("'shape': (") + 10;
    array.rows = std::strtoull(at, const_cast<char**>(&at), 10);
    if (*at == ',' && at[1] != ')') array.width = std::strtoull(at + 1, nullptr, 10);
    array.bytes = npy.substr(10 + length);
    return array;
}

inline std::map<std::string, Array> read_npz(const std::filesystem::path& path) {  // a zip file whose members are not compressed
    const std::string zip = read_file(path);
    std::map<std::string, Array> arrays;
    for (size_t at = 0; number<uint32_t>(zip, at) == 0x04034b50;) {
        if (number<uint16_t>(zip, at + 6) & 8 || number<uint16_t>(zip, at + 8))
            throw std::runtime_error(path.string() + " is compressed");
        const size_t name = number<uint16_t>(zip, at + 26), data = at + 30 + name + number<uint16_t>(zip, at + 28);
        uint64_t size = number<uint32_t>(zip, at + 22);
        if (size == 0xffffffff) size = number<uint64_t>(zip, at + 30 + name + 4);  // zip64
        arrays[zip.substr(at + 30, name - 4)] = read_npy(zip.substr(data, size));  // without ".npy"
        at = data + size;
    }
    return arrays;
}
