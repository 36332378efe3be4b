#!/bin/bash
# A SLURM cluster of one node on this machine, with accounting, from Debian's packages: for tests, as root, without systemd.
#   scripts/slurm_local.sh up [CORES]    install what is missing, start all, wait until the node is idle
#   scripts/slurm_local.sh down          stop what was started, remove its state
set -euo pipefail
STATE=/var/tmp/cytostorm-slurm
HOST=$(hostname -s)

up() {
  cores=${1:-2}
  if ! command -v slurmctld slurmd slurmdbd munged mariadbd >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      slurm-wlm slurmdbd slurm-wlm-mysql-plugin mariadb-server munge >/dev/null
  fi
  mkdir -p $STATE/{db,ctld,d,log} /etc/slurm /run/munge
  chown munge: /run/munge && chmod 755 /run/munge
  test -s /etc/munge/munge.key || { dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none; }
  chown munge: /etc/munge/munge.key && chmod 400 /etc/munge/munge.key
  mkdir -p /var/log/munge /var/lib/munge && chown munge: /var/log/munge /var/lib/munge
  munge -n >/dev/null 2>&1 || setpriv --reuid munge --regid munge --clear-groups munged

  chown mysql: $STATE/db
  test -d $STATE/db/mysql || mariadb-install-db --user=mysql --datadir=$STATE/db --auth-root-authentication-method=normal >/dev/null
  mariadbd --user=mysql --datadir=$STATE/db --socket=$STATE/db/sock --pid-file=$STATE/db/pid --port=33306 \
    --bind-address=127.0.0.1 --innodb-buffer-pool-size=64M >$STATE/log/db 2>&1 &
  until mariadb --socket=$STATE/db/sock -e "select 1" >/dev/null 2>&1; do sleep 0.2; done
  mariadb --socket=$STATE/db/sock -e "create database if not exists slurm; create user if not exists slurm@'127.0.0.1' identified by 'slurm';
    grant all on slurm.* to slurm@'127.0.0.1'"

  cat >/etc/slurm/slurmdbd.conf <<END
AuthType=auth/munge
DbdHost=$HOST
DbdAddr=127.0.0.1
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=33306
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
PidFile=$STATE/slurmdbd.pid
LogFile=$STATE/log/slurmdbd
END
  chmod 600 /etc/slurm/slurmdbd.conf
  memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  cat >/etc/slurm/slurm.conf <<END
ClusterName=cytostorm
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
JobRequeue=1
KillWait=5
OverTimeLimit=0
StateSaveLocation=$STATE/ctld
SlurmdSpoolDir=$STATE/d
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmdPidFile=$STATE/slurmd.pid
SlurmctldLogFile=$STATE/log/slurmctld
SlurmdLogFile=$STATE/log/slurmd
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$memory State=UNKNOWN
PartitionName=all Nodes=$HOST Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
END
  slurmdbd
  until sacctmgr -n list cluster >/dev/null 2>&1; do sleep 0.2; done
  slurmctld
  slurmd
  for _ in $(seq 100); do
    sinfo -h -o %T 2>/dev/null | grep -q idle && { sinfo; return; }
    sleep 0.2
  done
  tail -5 $STATE/log/* >&2
  echo "slurm_local: the node does not become idle" >&2
  exit 1
}

down() {
  for name in slurmd.pid slurmctld.pid slurmdbd.pid db/pid; do
    pid=$(cat $STATE/$name 2>/dev/null || true)
    test -n "$pid" && kill "$pid" 2>/dev/null && while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done || true
  done
  pid=$(cat /run/munge/munged.pid 2>/dev/null || true)
  test -n "$pid" && kill "$pid" 2>/dev/null || true
  rm -rf $STATE
}

case "${1:-}" in
  up) up "${2:-2}" ;;
  down) down ;;
  *) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
