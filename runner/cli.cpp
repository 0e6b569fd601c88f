#include "runner/cli.h"

#include "core/error.h"
#include "runner/installation.h"
#include "runner/progress.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <limits>

namespace assay {

void Places::apply_to(Study& study) const {
  const char* data_variable = std::getenv("ASSAY_DATA");
  const char* weights_variable = std::getenv("ASSAY_WEIGHTS");
  if (!data.empty()) {
    study.data.fallback = std::filesystem::absolute(data);
  } else if (!study.data.fallback && data_variable != nullptr) {
    study.data.fallback = std::filesystem::absolute(data_variable);
  }
  if (!weights.empty()) {
    study.weights = std::filesystem::absolute(weights);
  } else if (!study.weights && weights_variable != nullptr) {
    study.weights = std::filesystem::absolute(weights_variable);
  }
}

void add_workspace(CLI::App& command, Places& places) {
  command.add_option("-w,--workspace", places.workspace, "folder of store.db, features/ and jobs/")
      ->capture_default_str();
}

void add_places(CLI::App& command, Places& places) {
  add_workspace(command, places);
  command.add_option("--data", places.data, "folder of the data sets' folders (or $ASSAY_DATA)");
  command.add_option("--weights", places.weights, "folder of CLIP weights (or $ASSAY_WEIGHTS)");
}

void add_device(CLI::App& command, std::string& device) {
  device = "cpu";
  command.add_option("--device", device, "what computes: cpu, or cuda for NVIDIA GPUs")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
}

namespace {

template <typename T>
CLI::Validator number_check(const std::string& expected, const std::function<bool(T)>& is_good) {
  return {[=](const std::string& text) {
            T value{};
            const auto [end, error] =
                std::from_chars(text.data(), text.data() + text.size(), value);
            const bool is_number = error == std::errc() && end == text.data() + text.size();
            if (is_number && is_good(value)) return std::string();
            return fmt::format("'{}', expected {}", text, expected);
          },
          ""};
}

}  // namespace

CLI::Validator at_least(std::int64_t minimum) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  return number_check<std::int64_t>(
      fmt::format("a whole number of at least {}", minimum),
      [=](std::int64_t value) { return value >= minimum && value <= kMost; });
}

CLI::Validator above_zero() {
  return number_check<double>("a number above 0", [](double value) { return value > 0; });
}

JobRun describe_job(const Job& job,
                    const Study& study,
                    const PlanFiles& files,
                    const Workspace& workspace) {
  const nlohmann::json spec = job.spec();
  const std::string backbone = spec.at("encoder").at("features").at("backbone");
  JobRun run{.id = job.id,
             .kind = job.kind,
             .spec = spec,
             .hints = job.hints(),
             .workspace = workspace.root,
             .weights = std::filesystem::absolute(files.weights_path(find_backbone(backbone))),
             .merges = installation().merges,
             .data = {}};
  for (const std::string& dataset : datasets_of(spec)) {
    run.data[dataset] = std::filesystem::absolute(study.dataset_root(dataset));
  }
  return run;
}

int report_error(const std::exception& error) {
  std::fflush(stdout);
  say(stderr, fmt::format("assay: error: {}\n", error.what()));
  if (dynamic_cast<const BusyError*>(&error) != nullptr) return kExitTryAgain;
  const bool wrong_input = dynamic_cast<const ConfigError*>(&error) != nullptr ||
                           dynamic_cast<const DataError*>(&error) != nullptr;
  return wrong_input ? kExitWrongInput : 1;
}

int report_parse_error(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);
  const CLI::App* command = &app;
  std::string name = app.get_name();
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    name += " " + command->get_name();
  }
  return report_error(ConfigError("{}; '{} --help' shows how", error.what(), name));
}

void open_standard_descriptors() {
  // The lowest free number is taken, so this fills the gaps.
  int descriptor = ::open("/dev/null", O_RDWR);
  while (descriptor >= 0 && descriptor <= 2) descriptor = ::open("/dev/null", O_RDWR);
  if (descriptor > 2) ::close(descriptor);
}

void set_example(CLI::App& command, const std::string& example) {
  command.footer("Example:\n  " + example);
}

}  // namespace assay
