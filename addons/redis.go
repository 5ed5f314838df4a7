package addons

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Redis))
	redis.SetLogger(noRedisLog{}) // what it writes to stderr, callers get as errors
}

type noRedisLog struct{}

func (noRedisLog) Printf(context.Context, string, ...any) {}

// Redis makes the addons of the type redis.
//
// Where Hop3 runs Redis itself, each addon is a server of its own, of some
// 7 MB: apps write any key, in any of 16 databases, and FLUSHALL empties what
// belongs to one. There is no limit to their number, and nothing to choose with
// --dedicated.
//
// On a configured server an addon is one logical database, as in Hop3 for
// Python, and a user of its own that cannot select another one. What such a
// server cannot keep apart is database 0, which a client is in before it
// selects, and the channels of PUBLISH and SUBSCRIBE.
type Redis struct {
	server  hop3.AddonServer
	mu      sync.Mutex // planning, and changes of a configured server's users
	planned handedOut
}

// The keys of its details, beside those all have.
const (
	redisDB    = "db"
	redisAdmin = "admin_password" // of the user hop3 on its own server
)

const (
	redisAdminUser   = "hop3"
	redisDefaultUser = "default"
)

// CaddyModule describes the module.
func (*Redis) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.addons.redis", New: func() caddy.Module { return new(Redis) }}
}

// Name returns "redis".
func (*Redis) Name() string { return "redis" }

// Open keeps the server.
func (r *Redis) Open(s hop3.AddonServer) error {
	r.server, r.planned = s, handedOut{}
	return nil
}

// Plan chooses a port, or a database of the configured server.
func (r *Redis) Plan(ctx context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	if err := checkAddon(a); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server.Setting("REDIS_HOST") != "" {
		if a.Dedicated {
			return nil, hop3.Errorf(hop3.CodeInvalid, "the Redis server that REDIS_HOST names is shared by all addons: there is none for one alone").
				WithHint("Leave out --dedicated.")
		}
		return r.planShared(ctx, a)
	}
	return r.planOwn(ctx, a)
}

// Create starts the addon's server, or makes its user on the configured one.
func (r *Redis) Create(ctx context.Context, a hop3.Addon) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if own(a) {
		return r.createOwn(ctx, a)
	}
	return r.createShared(ctx, a)
}

// Destroy removes the addon's server, or its user and keys on the configured
// one.
func (r *Redis) Destroy(ctx context.Context, a hop3.Addon) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !own(a) {
		return r.destroyShared(ctx, a)
	}
	s, err := services(r.server, "Redis", "REDIS_HOST")
	if err != nil {
		return err
	}
	return s.Remove(ctx, a.Details[detailService])
}

func own(a hop3.Addon) bool { return a.Details[detailService] != "" }

// Variables are REDIS_URL and its parts. Only on a configured server is there
// a user: clients without ACL go on working with Hop3's own.
func (*Redis) Variables(a hop3.Addon) hop3.Env {
	env := hop3.Env{
		"REDIS_URL":      redisURL(a),
		"REDIS_HOST":     a.Details[detailHost],
		"REDIS_PORT":     a.Details[detailPort],
		"REDIS_DB":       a.Details[redisDB],
		"REDIS_PASSWORD": a.Details[detailPassword],
	}
	if user := a.Details[detailUser]; user != redisDefaultUser {
		env["REDIS_USERNAME"] = user
	}
	return env
}

// redisURL names the user also where it is the default one: redis-cli 7.0 cannot
// get in with a password alone.
func redisURL(a hop3.Addon) string {
	u := url.URL{Scheme: "redis", User: url.UserPassword(a.Details[detailUser], a.Details[detailPassword]), Host: redisAddress(a), Path: "/" + a.Details[redisDB]}
	return u.String()
}

func redisAddress(a hop3.Addon) string {
	return net.JoinHostPort(a.Details[detailHost], a.Details[detailPort])
}

// Endpoint is the address of the server.
func (*Redis) Endpoint(a hop3.Addon) hop3.AddonEndpoint {
	port, _ := strconv.Atoi(a.Details[detailPort])
	return hop3.AddonEndpoint{Host: a.Details[detailHost], Port: port, URL: redisURL(a)}
}

// Status asks as the app's user: it works for the app too.
func (r *Redis) Status(ctx context.Context, a hop3.Addon) ([]hop3.AddonFact, error) {
	admin, err := r.admin(ctx, a)
	if err != nil {
		return nil, err
	}
	defer closeRedis(admin)
	db, err := r.asApp(ctx, a)
	if err != nil {
		return nil, err
	}
	defer closeRedis(db)
	text, err := admin.Info(ctx).Result()
	if err != nil {
		return nil, redisError(ctx, a, err)
	}
	keys, err := db.DBSize(ctx).Result()
	if err != nil {
		return nil, redisError(ctx, a, err)
	}
	info := redisInfo(text)
	facts := []hop3.AddonFact{
		serverFact(redisAddress(a), a.Details[detailService], ""),
		{Property: "Version", Value: redisVersion(info)},
		{Property: "Database", Value: a.Details[redisDB]},
		{Property: "Keys", Value: strconv.FormatInt(keys, 10)},
		{Property: "Memory", Value: info["used_memory_human"]},
		{Property: "Connections", Value: info["connected_clients"]},
		{Property: "Running for", Value: (time.Duration(number(info["uptime_in_seconds"])) * time.Second).String()},
	}
	if !own(a) {
		facts = append(facts, hop3.AddonFact{Property: "Kept apart", Value: r.keptApart(ctx, a)})
	}
	return facts, nil
}

// keptApart says what a configured server keeps apart.
func (r *Redis) keptApart(ctx context.Context, a hop3.Addon) string {
	open := redis.NewClient(redisOptions(redisAddress(a), "", "", 0))
	defer closeRedis(open)
	if open.Ping(ctx).Err() == nil {
		return "nothing from those on its network: the server lets everybody in without a password"
	}
	return "all but database 0 and the channels of PUBLISH, which the addons of this server share"
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// redisInfo are the lines of INFO.
func redisInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[key] = value
		}
	}
	return info
}

func redisVersion(info map[string]string) string {
	if v := info["valkey_version"]; v != "" {
		return "Valkey " + v
	}
	return "Redis " + info["redis_version"]
}

// redisOptions are those of a few commands over one connection or two.
func redisOptions(address, user, password string, db int) *redis.Options {
	return &redis.Options{
		Addr: address, Username: user, Password: password, DB: db,
		Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, PoolSize: 2, MaxRetries: -1,
		DialTimeout: 5 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		DialerRetries:            1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

func closeRedis(c *redis.Client) { _ = c.Close() }

// asApp connects as the app does.
func (r *Redis) asApp(ctx context.Context, a hop3.Addon) (*redis.Client, error) {
	return connectRedis(ctx, a, r.verified(a, redisOptions(redisAddress(a), a.Details[detailUser], a.Details[detailPassword], int(number(a.Details[redisDB])))))
}

// admin connects as who may do all.
func (r *Redis) admin(ctx context.Context, a hop3.Addon) (*redis.Client, error) {
	o, err := r.adminOptions(a)
	if err != nil {
		return nil, err
	}
	return connectRedis(ctx, a, o)
}

func (r *Redis) adminOptions(a hop3.Addon) (*redis.Options, error) {
	if !own(a) {
		return r.configured(a)
	}
	if _, err := services(r.server, "Redis", "REDIS_HOST"); err != nil {
		return nil, err
	}
	return r.verified(a, redisOptions(redisAddress(a), redisAdminUser, a.Details[redisAdmin], 0)), nil
}

// verified has connections to a service of Hop3's own lead nowhere else: a
// password is told to Redis as it is.
func (r *Redis) verified(a hop3.Addon, o *redis.Options) *redis.Options {
	if own(a) {
		o.Dialer = dialService(r.server, a.Details[detailService], int(number(a.Details[detailPort])))
	}
	return o
}

func connectRedis(ctx context.Context, a hop3.Addon, o *redis.Options) (*redis.Client, error) {
	c := redis.NewClient(o)
	if err := c.Ping(ctx).Err(); err != nil {
		closeRedis(c)
		return nil, redisError(ctx, a, err)
	}
	return c, nil
}

// redisError makes a sentence of what a server or the way to it says.
func redisError(ctx context.Context, a hop3.Addon, err error) error {
	var known *hop3.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	where, hint := "the Redis server at "+redisAddress(a), "Look at `hop3 addon status` again in a moment; the service's log says why it does not run."
	if !own(a) {
		hint = "The admin checks REDIS_HOST, REDIS_PORT, REDIS_USER and REDIS_PASSWORD."
	}
	var reply redis.Error
	if !errors.As(err, &reply) {
		return unavailable(err, where+" does not answer", hint)
	}
	text := reply.Error()
	switch {
	case strings.HasPrefix(text, "WRONGPASS"), strings.HasPrefix(text, "NOAUTH"), strings.Contains(text, "AUTH <password>"):
		return unavailable(err, where+" refuses the password", hint)
	case strings.HasPrefix(text, "LOADING"):
		return unavailable(err, where+" is still loading its data", "Try again in a moment.")
	}
	return unavailable(err, where+" says: "+text, hint)
}

// redisPassword is that of the configured server's user, from the settings or
// a file, as Hop3 for Python keeps it.
func (r *Redis) redisPassword() (string, error) {
	if p := r.server.Setting("REDIS_PASSWORD"); p != "" {
		return p, nil
	}
	file := r.server.Setting("REDIS_PASSWORD_FILE")
	b, err := os.ReadFile(cmp.Or(file, "/etc/hop3/redis-pass"))
	if err != nil && file != "" {
		return "", unavailable(err, "the file of REDIS_PASSWORD_FILE cannot be read", "The admin checks that "+file+" is there, and may be read by the server.")
	}
	return strings.TrimSpace(string(b)), nil
}
