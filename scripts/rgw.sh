#!/usr/bin/env bash
# A Ceph object gateway of its own on loopback: a real S3 server for tests. One node, everything in memory, up in seconds.
#   scripts/rgw.sh DIR     serves until standard input ends, so that it never outlives who started it
# When it answers, it says so in three lines: endpoint=URL, tls_endpoint=URL (certificate: DIR/tls.pem), ready. The keys are
# testaccess / testsecretkey, and there is a bucket 'training'. Exit code 3: its programs are not installed (scripts/prerequisites.sh s3 installs them).
set -euo pipefail

for program in ceph ceph-mon ceph-osd monmaptool radosgw radosgw-admin uuidgen openssl curl python3; do
    command -v "$program" >/dev/null || { echo "$program is not installed: run scripts/prerequisites.sh s3" >&2; exit 3; }
done
mkdir -p "$1"
cd "$1"
dir=$PWD
mkdir mon osd run log

pids=()
finish() {
    # The gateway first: it waits for the others.
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do kill -KILL "${pids[i]}" 2>/dev/null || true; done
    wait 2>/dev/null || true
}
trap finish EXIT
trap 'exit 1' INT TERM

fail() {
    echo "$1" >&2
    tail -n 20 log/output >&2
    exit 1
}

# begin PROGRAM ARGUMENT...: runs it until the end of this script.
begin() {
    "$@" -f -c ceph.conf >>log/output 2>&1 </dev/null &
    pids+=($!)
}

# until_true SECONDS COMMAND...
until_true() {
    local tries=$(($1 * 5))
    shift
    for ((i = 0; i < tries; i++)); do
        "$@" >>log/output 2>&1 && return
        for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || fail 'a daemon has ended by itself'; done
        sleep 0.2
    done
    fail "no success within $((tries / 5)) s: $*"
}

# Below the ports that connections of others are given while this starts.
read -r mon_port s3_port tls_port < <(python3 - <<'PY'
import random, socket
free = []
while len(free) < 3:
    port = random.randrange(20000, 32000)
    with socket.socket() as s:
        if port not in free and s.connect_ex(("127.0.0.1", port)) != 0:
            free.append(port)
print(*free)
PY
)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -keyout tls.key -out tls.pem \
    -addext subjectAltName=IP:127.0.0.1,DNS:localhost -addext basicConstraints=critical,CA:FALSE 2>>log/output
fsid=$(uuidgen)
cat >ceph.conf <<CONF
[global]
fsid = $fsid
mon_initial_members = a
mon_host = [v1:127.0.0.1:$mon_port]
public_addr = 127.0.0.1
ms_bind_msgr2 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
run_dir = $dir/run
admin_socket = $dir/run/\$name.asok
log_file = $dir/log/\$name.log
[mon.a]
mon_data = $dir/mon
[osd.0]
osd_data = $dir/osd
osd_objectstore = memstore
# It would ask the monitor to, now and then before it knows the cluster's id, and end.
osd_crush_update_on_start = false
osd_class_update_on_start = false
memstore_device_bytes = 2147483648
[client.rgw.a]
rgw_data = $dir/rgw
rgw_frontends = beast endpoint=127.0.0.1:$s3_port ssl_endpoint=127.0.0.1:$tls_port ssl_certificate=$dir/tls.pem ssl_private_key=$dir/tls.key
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = testkey=YmluCmJvb3N0CmJvb3N0LWJ1aWxkCmNlcGguY29uZgo=
CONF

monmaptool --create --addv a "[v1:127.0.0.1:$mon_port]" --fsid "$fsid" monmap >>log/output
ceph-mon -c ceph.conf --mkfs -i a --monmap monmap >>log/output 2>&1
begin ceph-mon -i a
until_true 60 timeout 10 ceph -c ceph.conf -s
osd_id=$(uuidgen)
until_true 60 timeout 10 ceph -c ceph.conf osd new "$osd_id"
ceph-osd -c ceph.conf -i 0 --mkfs --osd-uuid "$osd_id" >>log/output 2>&1
until_true 60 timeout 10 ceph -c ceph.conf osd crush add osd.0 1.0 root=default host=a
begin ceph-osd -i 0
until_true 60 sh -c 'timeout 10 ceph -c ceph.conf osd stat | grep -q "1 up"'
begin radosgw -n client.rgw.a
until_true 120 curl -sf "http://127.0.0.1:$s3_port/"
timeout 120 radosgw-admin -c ceph.conf -n client.rgw.a user create --uid=t --display-name=t \
    --access-key=testaccess --secret-key=testsecretkey >>log/output 2>&1 || fail 'no user was made'
# The hash is that of no bytes.
curl -sf -X PUT --aws-sigv4 aws:amz:us-east-1:s3 -u testaccess:testsecretkey \
    -H 'x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' \
    "http://127.0.0.1:$s3_port/training" >>log/output 2>&1 || fail 'no bucket was made'
printf 'endpoint=http://127.0.0.1:%s\ntls_endpoint=https://127.0.0.1:%s\nready\n' "$s3_port" "$tls_port"
cat >/dev/null
