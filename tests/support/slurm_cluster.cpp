#include "tests/support/slurm_cluster.h"

#include "core/file.h"
#include "core/unique_handle.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>

namespace assay {
namespace {

namespace fs = std::filesystem;

constexpr const char* kControlGroups = "/sys/fs/cgroup";
constexpr int kPretendedCores = 8, kPretendedGpus = 2;

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return std::string(name).substr(0, std::string(name).find('.'));
}

int free_port() {
  const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(socket.get(), generic, size) != 0 ||
      ::getsockname(socket.get(), generic, &size) != 0) {
    throw std::runtime_error("no free port");
  }
  return ::ntohs(address.sin_port);
}

/// Debian puts daemons where a user's $PATH does not look.
std::string find_program(const std::string& name) {
  for (const char* folder : {"/usr/sbin/", "/usr/bin/", "/usr/local/sbin/", "/usr/local/bin/"}) {
    if (::access((folder + name).c_str(), X_OK) == 0) return folder + name;
  }
  return "";
}

}  // namespace

std::string SlurmCluster::missing() {
  if (::geteuid() != 0) return "Slurm's daemons want to be root";
  std::error_code none;
  if (fs::directory_iterator(kControlGroups, none) == fs::directory_iterator()) {
    return fmt::format("Slurm's daemons want {}, which is not mounted here", kControlGroups);
  }
  for (const char* program : {"munged", "slurmctld", "slurmd", "srun", "sbatch"}) {
    if (!find_program(program).empty()) continue;
    return fmt::format(
        "{} is not installed: apt-get install -y munge slurmctld slurmd slurm-client", program);
  }
  return "";
}

SlurmCluster::SlurmCluster() {
  for (const char* name : {"state", "spool"}) fs::create_directories(folder_ / name);
  fs::permissions(folder_.path(), fs::perms(0755));  // munged's clients look for its socket.
  {
    std::ofstream key(path("munge.key"), std::ios::binary);
    std::random_device random;
    for (int i = 0; i < 1024; ++i) key.put(static_cast<char>(random()));
  }
  fs::permissions(path("munge.key"), fs::perms(0400));
  // A GPU is a device file to Slurm, whatever device.
  for (int gpu = 0; gpu < kPretendedGpus; ++gpu) {
    const std::string file = path("gpu" + std::to_string(gpu));
    if (::mknod(file.c_str(), S_IFCHR | 0666, ::makedev(1, 3)) != 0) {
      throw std::runtime_error(file + ": no device file can be made here");
    }
  }
  std::ofstream(path("gres.conf"))
      << fmt::format("Name=gpu File={}\n", path(fmt::format("gpu[0-{}]", kPretendedGpus - 1)));
  std::ofstream(path("slurm.conf")) << fmt::format(
      "ClusterName=assay\n"
      "SlurmctldHost={0}(127.0.0.1)\n"
      "SlurmctldPort={1}\nSlurmdPort={2}\n"
      "SlurmUser=root\nSlurmdUser=root\n"
      "AuthType=auth/munge\nAuthInfo=socket={3}/munge.sock\nCredType=cred/munge\n"
      "StateSaveLocation={3}/state\nSlurmdSpoolDir={3}/spool\n"
      "SlurmctldPidFile={3}/slurmctld.pid\nSlurmdPidFile={3}/slurmd.pid\n"
      "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n"
      "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nGresTypes=gpu\n"
      "SlurmdParameters=config_overrides\n"
      "SchedulerParameters=batch_sched_delay=0,sched_min_interval=0\n"
      "ReturnToService=2\nKillWait=3\nOverTimeLimit=0\nMinJobAge=10\n"
      "NodeName={0} NodeAddr=127.0.0.1 CPUs={4} Sockets=1 CoresPerSocket={4} ThreadsPerCore=1 "
      "Gres=gpu:{5}\n"
      "PartitionName=test Nodes={0} Default=YES MaxTime=INFINITE State=UP\n",
      host_name(), free_port(), free_port(), folder_.path().string(), kPretendedCores,
      kPretendedGpus);
  start({"munged", "--foreground", "--force", "--key-file=" + path("munge.key"),
         "--socket=" + path("munge.sock"), "--pid-file=" + path("munged.pid"),
         "--log-file=" + path("munged.log"), "--seed-file=" + path("munged.seed")});
  if (!eventually([&] { return fs::exists(path("munge.sock")); }, 20)) {
    throw std::runtime_error("munged does not start\n" + logs());
  }
  start_controller();
  start({"slurmd", "-D", "-f", path("slurm.conf")});
  fs::create_directories(path("ask"));
  const auto node_is_idle = [&] {
    RunningCommand sinfo({"sinfo", "-h", "-o", "%t"}, path("ask"), environment());
    return sinfo.wait().out.starts_with("idle");
  };
  if (!eventually(node_is_idle, 60)) throw std::runtime_error("no node is ready\n" + logs());
}

SlurmCluster::~SlurmCluster() {
  try {
    RunningCommand({"scancel", "--full", "--signal=KILL", "--user=root"}, path("ask"),
                   environment())
        .wait();
  } catch (const std::exception&) {
    // The daemons are killed in any case.
  }
  daemons_.clear();
}

std::map<std::string, std::string> SlurmCluster::environment() const {
  return {{"SLURM_CONF", path("slurm.conf")}};
}

void SlurmCluster::stop_controller() {
  daemons_.at("slurmctld")->send(SIGTERM);  // It writes down its jobs.
  daemons_.at("slurmctld")->wait();
}
void SlurmCluster::start_controller() { start({"slurmctld", "-D", "-f", path("slurm.conf")}); }

void SlurmCluster::start(const std::vector<std::string>& words) {
  std::vector<std::string> command = words;
  command[0] = find_program(words[0]);
  fs::create_directories(path(words[0]));
  daemons_[words[0]] = std::make_unique<RunningCommand>(command, path(words[0]), environment());
}

std::string SlurmCluster::path(const std::string& name) const { return (folder_ / name).string(); }

std::string SlurmCluster::logs() const {
  std::string text;
  for (const auto& [name, daemon] : daemons_) {
    text += name + ":\n" + read_file(path(name) + "/stderr");
  }
  return text;
}

}  // namespace assay
