package addons

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/abilian/hop3/hop3"
)

// redisDatabases is how many databases apps have on a server of Hop3's own, as on
// others. As many more are where restores prepare what they replace them by.
const redisDatabases = 16

// The files of a server of Hop3's own.
const (
	redisConfigFile = "redis.conf"
	redisUsersFile  = "users.acl"
	redisDumpFile   = "dump.rdb"
)

func (r *Redis) planOwn(ctx context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	s, err := services(r.server, "Redis", "REDIS_HOST")
	if err != nil {
		return nil, err
	}
	if _, _, err := redisProgram(ctx); err != nil {
		return nil, err
	}
	port, err := r.planned.freePort(s)
	if err != nil {
		return nil, err
	}
	return hop3.AddonDetails{
		detailService: serviceName("redis", a.Name), detailHost: "127.0.0.1", detailPort: port,
		detailUser: redisDefaultUser, detailPassword: password(), redisDB: "0", redisAdmin: password(),
	}, nil
}

func (r *Redis) createOwn(ctx context.Context, a hop3.Addon) error {
	s, err := services(r.server, "Redis", "REDIS_HOST")
	if err != nil {
		return err
	}
	program, version, err := redisProgram(ctx)
	if err != nil {
		return err
	}
	name := a.Details[detailService]
	dir, err := s.Prepare(ctx, name)
	if err != nil {
		return err
	}
	if err := writeRedisFiles(dir, a, version); err != nil {
		return fmt.Errorf("preparing the service %s: %w", name, err)
	}
	if err := s.Start(ctx, hop3.Service{Name: name, Args: []string{program, filepath.Join(dir.Data, redisConfigFile)}, Port: int(number(a.Details[detailPort]))}); err != nil {
		return err
	}
	var admin *redis.Client
	var held taken
	err = until(ctx, time.Minute, func(ctx context.Context) (err error) {
		admin, err = r.admin(ctx, a)
		return err
	}, func(err error) bool {
		return !held.lasts(err) && !strings.Contains(err.Error(), "refuses the password")
	})
	if err != nil {
		return redisError(ctx, a, err)
	}
	defer closeRedis(admin)
	return allowRedis(ctx, admin, a, ownRedisRules(version))
}

// writeRedisFiles writes the configuration, and the users where there are none
// yet: later they are the server's own to write.
func writeRedisFiles(dir hop3.ServiceDir, a hop3.Addon, version int) error {
	files, err := openServiceFiles(dir)
	if err != nil {
		return err
	}
	defer files.close()
	users, err := files.read(redisUsersFile)
	if err == nil && users == nil {
		text := "user " + redisAdminUser + " on " + redisSecret(a.Details[redisAdmin]) + " " + strings.Join(allRedis(version), " ") + "\n" +
			"user " + redisDefaultUser + " on " + redisSecret(a.Details[detailPassword]) + " " + strings.Join(ownRedisRules(version), " ") + "\n"
		err = files.write(redisUsersFile, []byte(text))
	}
	if err != nil {
		return err
	}
	return files.write(redisConfigFile, []byte(redisConfig(dir.Data, a.Details[detailPort], version)))
}

// redisConfig has each write that was answered survive the server, and all but
// the last second's the machine.
func redisConfig(dir, port string, version int) string {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace
	lines := []string{
		"# Written by Hop3 each time it starts.",
		"bind 127.0.0.1",
		"port " + port,
		"protected-mode yes",
		"daemonize no",
		`logfile ""`,
		`dir "` + quote(dir) + `"`,
		`aclfile "` + quote(filepath.Join(dir, redisUsersFile)) + `"`,
		"databases " + strconv.Itoa(2*redisDatabases),
		"appendonly yes",
		"appendfsync everysec",
		`save ""`,
		"dbfilename " + redisDumpFile,
	}
	if version >= 602 {
		lines = append(lines, "sanitize-dump-payload clients", // what RESTORE is given may be anything
			"set-proc-title no") // whose it is shows in the list of processes
	}
	return strings.Join(lines, "\n") + "\n"
}

func allRedis(version int) []string {
	if version < 602 {
		return []string{"~*", "+@all"}
	}
	return []string{"~*", "&*", "+@all"}
}

// ownRedisRules are what an app may do on the server that is its own: all but
// what would end it, or its users.
func ownRedisRules(version int) []string {
	return append(append([]string{"nocommands"}, allRedis(version)...), "-@admin",
		"+client", "+config|get", "+slowlog", "+latency", "+monitor", "+lastsave", "+acl|whoami", "-swapdb")
}

// redisSecret is a password as users of Redis have it: its hash. No password
// is in a file or a log of the server.
func redisSecret(password string) string { return "#" + redisHash(password) }

func redisHash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

// allowRedis has the addon's user get in with its password, beside others that
// it may have.
func allowRedis(ctx context.Context, admin *redis.Client, a hop3.Addon, rules []string) error {
	args := []any{"ACL", "SETUSER", a.Details[detailUser], "on", redisSecret(a.Details[detailPassword])}
	for _, rule := range rules {
		args = append(args, rule)
	}
	if err := admin.Do(ctx, args...).Err(); err != nil {
		return redisError(ctx, a, err)
	}
	return saveRedisUsers(ctx, admin, a)
}

// saveRedisUsers has the server know its users when it starts again.
func saveRedisUsers(ctx context.Context, admin *redis.Client, a hop3.Addon) error {
	err := admin.Do(ctx, "ACL", "SAVE").Err()
	if err != nil && strings.Contains(err.Error(), "not configured to use an ACL file") {
		err = admin.ConfigRewrite(ctx).Err()
	}
	return redisError(ctx, a, err)
}

// Rotated returns the details with another password of the same user, who may
// have several.
func (*Redis) Rotated(_ context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	next := hop3.AddonDetails{}
	for key, value := range a.Details {
		next[key] = value
	}
	next[detailPassword] = password()
	return next, nil
}

// Revoke ends a password. Connections made with it go on until they end.
func (r *Redis) Revoke(ctx context.Context, a hop3.Addon, old hop3.AddonDetails) error {
	if old[detailPassword] == "" || old[detailPassword] == a.Details[detailPassword] || old[detailUser] != a.Details[detailUser] {
		return nil
	}
	admin, err := r.admin(ctx, a)
	if err != nil {
		return err
	}
	defer closeRedis(admin)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := admin.Do(ctx, "ACL", "GETUSER", old[detailUser]).Err(); errors.Is(err, redis.Nil) {
		return nil
	}
	err = admin.Do(ctx, "ACL", "SETUSER", old[detailUser], "!"+redisHash(old[detailPassword])).Err()
	if err != nil && strings.Contains(err.Error(), "does not exist") {
		return nil
	} else if err != nil {
		return redisError(ctx, a, err)
	}
	return saveRedisUsers(ctx, admin, a)
}

var redisVersionText = regexp.MustCompile(`v=([0-9]+)\.([0-9]+)`)

// redisProgram finds the server that is installed, and its version: 602 for
// 6.2.
func redisProgram(ctx context.Context) (path string, version int, err error) {
	path = program("redis-server", "valkey-server")
	if path == "" {
		return "", 0, hop3.Errorf(hop3.CodeUnavailable, "Redis is not installed on this server").
			WithHint("The admin runs: apt install redis-server. Or sets REDIS_HOST to the address of a server of Redis.")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", 0, fmt.Errorf("asking %s for its version: %w", path, err)
	}
	found := redisVersionText.FindSubmatch(out)
	if found == nil || number(string(found[1])) < 6 {
		return "", 0, hop3.Errorf(hop3.CodeUnavailable, "the Redis that is installed on this server is too old").
			WithHint("Redis 6 or newer is needed: it is the first that has users.")
	}
	return path, int(100*number(string(found[1])) + number(string(found[2]))), nil
}
