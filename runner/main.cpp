// assay: the command line, without LibTorch.

#include "core/error.h"
#include "core/memory.h"
#include "core/nearest_name.h"
#include "runner/commands.h"
#include "runner/installation.h"
#include "runner/pilot.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>

namespace {

using namespace assay;

/// What assay-worker does, and the help of `assay` says.
constexpr std::array<std::pair<const char*, const char*>, 8> kWorkerCommands = {{
    {"encode", "encode the images of a data set, by hand"},
    {"train", "train one variant, by hand; also under mpirun -np N"},
    {"evaluate", "evaluate one variant on a data set, by hand"},
    {"profile", "measure what a method costs on this machine, by hand"},
    {"data", "list, check and draw data sets"},
    {"backbone", "check and import CLIP weights"},
    {"heatmaps", "pictures of anomaly maps beside the images"},
    {"metrics", "AUROC, AP, F1-max, AUPRO of anyone's anomaly maps"},
}};

/// Becomes assay-worker, with the same arguments.
[[noreturn]] void become_worker(char** argv) {
  const std::string worker = find_worker().string();
  ::execv(worker.c_str(), argv);
  throw ConfigError("{}: cannot be executed: {}", worker, std::strerror(errno));
}

/// CLI11 says that a subcommand is required, and not which word is none.
void check_command(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  if (std::ranges::count(names, word) > 0) return;
  const std::string nearest = nearest_name(word, names);
  throw ConfigError("'{}' is not a command; {}assay --help lists them", word,
                    nearest.empty() ? "" : fmt::format("did you mean '{}'? ", nearest));
}

int run(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (std::ranges::any_of(kWorkerCommands, [&](const auto& c) { return c.first == first; })) {
    become_worker(argv);
  }
  CLI::App app("Zero-shot anomaly detection studies: plan, run, compare.", "assay");
  app.set_version_flag("--version", ASSAY_VERSION);
  app.require_subcommand(1);
  set_example(app, "assay run experiments/demo.toml");
  std::vector<Command> commands;
  for (auto* add :
       {add_study_commands, add_store_commands, add_doctor_command, add_bench_command}) {
    for (Command& command : add(app)) commands.push_back(std::move(command));
  }
  for (auto* add : {add_status_command, add_log_command, add_cancel_command, add_why_command,
                    add_explain_command, add_methods_command})
    commands.push_back(add(app));
  for (const auto& [name, what] : kWorkerCommands) app.add_subcommand(name, what);
  if (!first.empty() && !first.starts_with('-')) check_command(app, std::string(first));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report_parse_error(app, error);
  }
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // `assay run ... | head -1` finishes its work.
  // And `assay run ... &`, on a terminal that stops who writes to it (`stty tostop`).
  for (const int signal : {SIGTTIN, SIGTTOU}) std::signal(signal, SIG_IGN);
  open_standard_descriptors();
  keep_freed_memory();
  try {
    const int code = run(argc, argv);
    tell_follower(code);
    return code;
  } catch (const std::exception& error) {
    const int code = report_error(error);
    tell_follower(code);
    return code;
  }
}
