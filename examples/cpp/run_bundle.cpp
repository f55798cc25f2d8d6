// Runs the golden cases of a bundle with MNN's C++ API, and compares the logits with those of training.
// docs/porting.md explains the tensors and how to build this program. Usage: run_bundle BUNDLE
#include <MNN/Interpreter.hpp>
#include <MNN/Tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "npz.hpp"

namespace fs = std::filesystem;
using Floats = std::vector<float>;

class Model {
  public:
    explicit Model(const fs::path& path) : net_(MNN::Interpreter::createFromFile(path.c_str()), MNN::Interpreter::destroy) {
        if (!net_) throw std::runtime_error("MNN cannot load " + path.string());
        MNN::BackendConfig backend;
        backend.precision = MNN::BackendConfig::Precision_High;  // float32, also if the processor has float16
        MNN::ScheduleConfig config;
        config.type = MNN_FORWARD_CPU;
        config.numThread = 1;
        config.backendConfig = &backend;
        session_ = net_->createSession(config);
    }
    std::vector<int> shape(const std::string& name) const {  // empty if there is no such input
        const auto& inputs = net_->getSessionInputAll(session_);
        return inputs.count(name) ? inputs.at(name)->shape() : std::vector<int>();
    }
    void write(const std::string& name, const Floats& numbers) {
        MNN::Tensor* input = net_->getSessionInput(session_, name.c_str());
        MNN::Tensor host(input, MNN::Tensor::CAFFE);  // row-major
        if (size_t(host.elementSize()) != numbers.size()) throw std::runtime_error(name + " has another size");
        std::copy(numbers.begin(), numbers.end(), host.host<float>());
        input->copyFromHostTensor(&host);
    }
    void run() { if (net_->runSession(session_)) throw std::runtime_error("MNN reports an error"); }
    Floats read(const std::string& name) const {
        MNN::Tensor* output = net_->getSessionOutput(session_, name.c_str());
        MNN::Tensor host(output, MNN::Tensor::CAFFE);
        output->copyToHostTensor(&host);
        return Floats(host.host<float>(), host.host<float>() + host.elementSize());
    }
  private:
    std::unique_ptr<MNN::Interpreter, void (*)(MNN::Interpreter*)> net_;
    MNN::Session* session_ = nullptr;
};

static Floats score(std::map<std::string, Array> data, std::map<std::string, Model>& steps, Model& ranker) {
    const Array& candidates = data.at("candidates");
    const size_t k = ranker.shape("candidates")[0], count = candidates.rows;
    Floats padded(k * candidates.width), last(k), valid(k);
    for (size_t i = 0; i < count; ++i) {
        const Floats row = candidates.row<float>(i);
        std::copy(row.begin(), row.end(), padded.begin() + i * row.size());
        valid[i] = 1;
    }
    last[count - 1] = 1;
    ranker.write("candidates", padded);
    if (!ranker.shape("last").empty()) ranker.write("last", last);
    if (!ranker.shape("valid").empty()) ranker.write("valid", valid);
    for (auto& [kind, step] : steps) {
        const Array &action = data.at(kind + "_action"), &item = data.at(kind + "_item");
        const size_t limit = ranker.shape(kind + "_mask")[0], first = action.rows - std::min(action.rows, limit);
        std::string name = kind + "_keys";
        for (const char* other : {"_positive_keys", "_signed_keys"})
            if (!ranker.shape(kind + other).empty()) name = kind + other;
        const size_t key_width = ranker.shape(name)[1], value_width = ranker.shape(kind + "_values")[1];
        Floats keys(limit * key_width, 1), values(limit * value_width), mask(limit), state;
        const std::vector<int> rows = step.shape("state");
        if (!rows.empty()) state.resize(rows[0] * rows[1] * rows[2]);  // zeros before the first behaviour
        for (size_t i = 0; i < action.rows; ++i) {
            step.write("action", action.row<float>(i));  // a run overwrites its inputs: write all of them
            step.write("item", item.row<float>(i));
            if (!rows.empty()) step.write("state", state);
            step.run();
            if (!rows.empty()) state = step.read("new_state");
            if (i < first) continue;
            const Floats key = step.read("key"), value = step.read("value");
            std::copy(key.begin(), key.end(), keys.begin() + (i - first) * key_width);
            std::copy(value.begin(), value.end(), values.begin() + (i - first) * value_width);
            mask[i - first] = 1;
        }
        ranker.write(name, keys);
        ranker.write(kind + "_values", values);
        ranker.write(kind + "_mask", mask);
        const std::vector<int> match = ranker.shape(kind + "_match");
        if (match.empty()) continue;  // crban_plus: which items were seen before, and how long ago
        Floats equal(match[0] * k * limit), age(limit);
        for (size_t j = first; j < action.rows; ++j) {
            age[j - first] = data.at(kind + "_age").row<float>(j)[0];
            const auto seen = data.at(kind + "_ids").row<int64_t>(j);
            for (size_t i = 0; i < count; ++i) {
                const auto ids = data.at("candidate_ids").row<int64_t>(i);
                for (size_t one = 0; one < ids.size(); ++one)
                    equal[(one * k + i) * limit + j - first] = ids[one] >= 0 && ids[one] == seen[one];
            }
        }
        ranker.write(kind + "_match", equal);
        ranker.write(kind + "_age", age);
    }
    ranker.run();
    Floats logits = ranker.read("logits");
    logits.resize(count);
    return logits;
}

static double field(const std::string& json, const std::string& name) {  // a number of the manifest; 0 if missing
    const size_t at = json.find("\"" + name + "\":");
    return at == json.npos ? 0 : std::strtod(json.c_str() + at + name.size() + 3, nullptr);
}

int main(int count, char** arguments) try {
    if (count != 2) throw std::runtime_error("usage: run_bundle BUNDLE");
    const fs::path bundle = arguments[1];
    const std::string manifest = read_file(bundle / "manifest.json");
    const double absolute = field(manifest, "tolerance"), relative = field(manifest, "relative_tolerance");
    Model ranker(bundle / "device" / "crban.mnn");
    std::map<std::string, Model> steps;
    for (const auto& [kind, name] : {std::pair("exposure", "hubsm_ie.mnn"), std::pair("page_view", "hubsm_ipv.mnn")})
        if (fs::exists(bundle / "device" / name)) steps.emplace(kind, bundle / "device" / name);
    int cases = 0, failed = 0;
    double largest = 0;
    for (const auto& entry : fs::directory_iterator(bundle / "golden")) {
        if (entry.path().extension() != ".npz") continue;
        const auto data = read_npz(entry.path());
        const Floats logits = score(data, steps, ranker);
        bool good = true;
        for (size_t i = 0; i < logits.size(); ++i) {
            const double expected = data.at("logits").row<float>(i)[0], difference = std::abs(logits[i] - expected);
            good = good && difference <= absolute + relative * std::abs(expected);  // false for NaN
            largest = std::max(largest, difference);
        }
        if (!good) std::printf("%s: other logits than in training\n", entry.path().filename().c_str());
        ++cases, failed += !good;
    }
    std::printf("%d of %d golden cases passed; largest difference %.3g\n", cases - failed, cases, largest);
    return cases == 0 || failed;
} catch (const std::exception& error) {
    std::fprintf(stderr, "run_bundle: %s\n", error.what());
    return 1;
}
