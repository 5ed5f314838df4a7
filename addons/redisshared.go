package addons

import (
	"cmp"
	"context"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/abilian/hop3/hop3"
)

// configured are the options of a connection to the configured server as its
// admin.
func (r *Redis) configured(a hop3.Addon) (*redis.Options, error) {
	host, port := r.server.Setting("REDIS_HOST"), cmp.Or(r.server.Setting("REDIS_PORT"), "6379")
	if had := a.Details[detailHost]; had != "" && (had != hostForApps(host) || a.Details[detailPort] != port) {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "%s is on the Redis server at %s, which is not the one that is configured", a.ID(), redisAddress(a)).
			WithHint("The admin sets REDIS_HOST and REDIS_PORT to it again, or moves the addon by a dump.")
	}
	password, err := r.redisPassword()
	if err != nil {
		return nil, err
	}
	user := r.server.Setting("REDIS_USER")
	if user == redisDefaultUser {
		user = "" // is understood by servers without users too, which are refused with a better sentence
	}
	return redisOptions(net.JoinHostPort(host, port), user, password, 0), nil
}

// planShared chooses the first database that no user of the server is for and
// nothing is in.
func (r *Redis) planShared(ctx context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	host, port := hostForApps(r.server.Setting("REDIS_HOST")), cmp.Or(r.server.Setting("REDIS_PORT"), "6379")
	details := hop3.AddonDetails{
		detailHost: host, detailPort: port, detailPassword: password(), detailUser: "hop3-" + a.Name + "-" + password()[:8],
	}
	a.Details = details
	admin, err := r.admin(ctx, a)
	if err != nil {
		return nil, err
	}
	defer closeRedis(admin)
	if err := rememberingUsers(ctx, admin, a); err != nil {
		return nil, err
	}
	owners, count, err := redisOwners(ctx, admin, a)
	if err != nil {
		return nil, err
	}
	for n := 1; n < count; n++ {
		if _, taken := owners[n]; taken {
			continue
		}
		db := strconv.Itoa(n)
		if mine := db + " " + a.Name; r.planned.has(mine) || r.planned.take(db) {
			r.planned.take(mine)
			details[redisDB] = db
			return details, nil
		}
	}
	return nil, hop3.Errorf(hop3.CodeConflict, "all %d databases of the Redis server at %s are in use", count-1, redisAddress(a)).
		WithHint("Destroy an addon of the type redis, have the admin raise `databases` in the server's configuration, or unset REDIS_HOST: then each new addon has a server of its own.")
}

// rememberingUsers refuses a server that forgets its users when it ends.
func rememberingUsers(ctx context.Context, admin *redis.Client, a hop3.Addon) error {
	info, err := admin.Info(ctx, "server").Result()
	if err != nil {
		return redisError(ctx, a, err)
	}
	if redisInfo(info)["config_file"] != "" {
		return nil
	}
	acl, err := admin.ConfigGet(ctx, "aclfile").Result()
	if err != nil || acl["aclfile"] == "" {
		return hop3.Errorf(hop3.CodeUnavailable, "the Redis server at %s has neither a configuration file nor an ACL file: it would forget the users of addons when it ends", redisAddress(a)).
			WithHint("The admin starts it with a configuration file, or unsets REDIS_HOST: then Hop3 runs a server for each addon.")
	}
	return nil
}

var selects = regexp.MustCompile(`\+select\|([0-9]+)`)

// redisOwners returns who has which database, "" for those with keys that are
// nobody's, and how many databases there are.
func redisOwners(ctx context.Context, admin *redis.Client, a hop3.Addon) (owners map[int]string, count int, err error) {
	owners, count = map[int]string{}, 16
	info, err := admin.Info(ctx, "keyspace").Result()
	if err != nil {
		return nil, 0, redisError(ctx, a, err)
	}
	for key := range redisInfo(info) {
		if n, ok := strings.CutPrefix(key, "db"); ok {
			owners[int(number(n))] = ""
		}
	}
	if found, err := admin.ConfigGet(ctx, "databases").Result(); err == nil && number(found["databases"]) > 0 {
		count = int(number(found["databases"]))
	}
	users, err := admin.Do(ctx, "ACL", "LIST").StringSlice()
	if err != nil && strings.Contains(err.Error(), "unknown command") {
		return nil, 0, hop3.Errorf(hop3.CodeUnavailable, "the Redis server at %s is too old, or has no users: addons could not be kept apart", redisAddress(a)).
			WithHint("Redis 6 or newer is needed. Or the admin unsets REDIS_HOST: then Hop3 runs a server for each addon.")
	} else if err != nil {
		return nil, 0, redisError(ctx, a, err)
	}
	slices.Sort(users) // the first of two that have the same keeps it
	slices.Reverse(users)
	for _, line := range users {
		name, rules, _ := strings.Cut(strings.TrimPrefix(line, "user "), " ")
		if found := selects.FindStringSubmatch(rules); found != nil {
			owners[int(number(found[1]))] = name
		}
	}
	return owners, count, nil
}

func (r *Redis) createShared(ctx context.Context, a hop3.Addon) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	admin, err := r.admin(ctx, a)
	if err != nil {
		return err
	}
	defer closeRedis(admin)
	if err := r.ownsRedisDB(ctx, admin, a); err != nil {
		return err
	}
	info, err := admin.Info(ctx, "server").Result()
	if err != nil {
		return redisError(ctx, a, err)
	}
	rules := sharedRedisRules(redisInfo(info)["redis_version"], a.Details[redisDB])
	if err := allowRedis(ctx, admin, a, rules); err != nil {
		return err
	}
	// Another Hop3 may have done the same just now.
	if err := r.ownsRedisDB(ctx, admin, a); err != nil {
		_ = admin.Do(ctx, "ACL", "DELUSER", a.Details[detailUser]).Err() // the error is on its way
		return err
	}
	return nil
}

// ownsRedisDB refuses a database that another user has.
func (r *Redis) ownsRedisDB(ctx context.Context, admin *redis.Client, a hop3.Addon) error {
	owners, _, err := redisOwners(ctx, admin, a)
	if err != nil {
		return err
	}
	if owner := owners[int(number(a.Details[redisDB]))]; owner != "" && owner != a.Details[detailUser] {
		return hop3.Errorf(hop3.CodeConflict, "the database %s of the Redis server at %s is another addon's by now", a.Details[redisDB], redisAddress(a)).
			WithHint("Destroy %s and create it again: it has nothing in it yet.", a.ID())
	}
	return nil
}

// sharedRedisRules keep a user in one database. That SELECT has this argument
// and no other is deprecated, and yet all that there is.
func sharedRedisRules(version, db string) []string {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	known := int(100*number(major) + number(minor))
	rules := append(append([]string{"nocommands"}, allRedis(known)...), "-@admin",
		"+client|setname", "+client|getname", "+client|id", "+acl|whoami",
		"-flushall", "-swapdb", "-move", "-copy", "-migrate", "-select", "+select|"+db)
	if known >= 700 {
		rules = append(rules, "-function", "-script|flush", "-script|kill")
	}
	return rules
}

// destroyShared empties the database between taking it from the addon's user
// and removing the user, so that nobody writes into it and nobody else has it.
func (r *Redis) destroyShared(ctx context.Context, a hop3.Addon) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	admin, err := r.admin(ctx, a)
	if err != nil {
		return err
	}
	defer closeRedis(admin)
	owners, _, err := redisOwners(ctx, admin, a)
	if err != nil {
		return err
	}
	user, db := a.Details[detailUser], a.Details[redisDB]
	r.planned.forget(db, db+" "+a.Name)
	if owners[int(number(db))] != user {
		return nil
	}
	if err := admin.Do(ctx, "ACL", "SETUSER", user, "reset", "+select|"+db).Err(); err != nil {
		return redisError(ctx, a, err)
	}
	if err := flushRedis(ctx, admin, int(number(db))); err != nil {
		return redisError(ctx, a, err)
	}
	if err := admin.Do(ctx, "ACL", "DELUSER", user).Err(); err != nil {
		return redisError(ctx, a, err)
	}
	return saveRedisUsers(ctx, admin, a)
}

// flushRedis empties databases.
func flushRedis(ctx context.Context, admin *redis.Client, dbs ...int) error {
	pipe := admin.TxPipeline()
	for _, n := range dbs {
		pipe.Do(ctx, "SELECT", n)
		pipe.FlushDBAsync(ctx)
	}
	pipe.Do(ctx, "SELECT", admin.Options().DB)
	_, err := pipe.Exec(ctx)
	return err
}
