package addons_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/abilian/hop3/addons"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/services/servicestest"
)

// redisClient connects as apps do: by REDIS_URL.
func redisClient(env hop3.Env) (*redis.Client, error) {
	o, err := redis.ParseURL(env["REDIS_URL"])
	if err != nil {
		return nil, err
	}
	o.MaxRetries, o.DialTimeout, o.DialerRetries = -1, 2*time.Second, 1
	return redis.NewClient(o), nil
}

func withRedis(env hop3.Env, use func(*redis.Client) error) error {
	c, err := redisClient(env)
	if err != nil {
		return err
	}
	return errors.Join(use(c), c.Close())
}

// redisSuite is how the suite uses Redis.
func redisSuite(variables ...string) hop3test.AddonClient {
	return hop3test.AddonClient{
		Variables: append([]string{"REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD"}, variables...),
		Write: func(ctx context.Context, env hop3.Env, key, value string) error {
			return withRedis(env, func(c *redis.Client) error { return c.Set(ctx, key, value, 0).Err() })
		},
		Read: func(ctx context.Context, env hop3.Env, key string) (value string, err error) {
			err = withRedis(env, func(c *redis.Client) (err error) {
				value, err = c.Get(ctx, key).Result()
				if errors.Is(err, redis.Nil) {
					err = nil
				}
				return err
			})
			return value, err
		},
		Trespass: trespassRedis,
	}
}

// trespassRedis tries to get at another addon's data with one's own password.
func trespassRedis(ctx context.Context, env, other hop3.Env, key string) error {
	o, err := redis.ParseURL(other["REDIS_URL"])
	if err != nil {
		return err
	}
	mine, err := redis.ParseURL(env["REDIS_URL"])
	if err != nil {
		return err
	}
	want, err := redisSuite().Read(ctx, other, key)
	if err != nil {
		return err
	}
	had, err := redisSuite().Read(ctx, env, key)
	if err != nil {
		return err
	}
	o.Username, o.Password, o.MaxRetries = mine.Username, mine.Password, -1
	there := redis.NewClient(o)
	defer there.Close()
	if err := there.Ping(ctx).Err(); err == nil {
		return nil
	}
	db := strconv.Itoa(o.DB)
	for _, command := range []string{
		"FLUSHALL", "SWAPDB " + db + " " + strconv.Itoa(mine.DB), "MOVE " + key + " " + db, "COPY " + key + " " + key + " DB " + db + " REPLACE",
		"EVAL redis.call('select','" + db + "');return(redis.call('get','" + key + "')) 0", "EVAL redis.call('select','" + db + "');redis.call('set','" + key + "','mine') 0",
		"CONFIG SET requirepass x", "ACL SETUSER default on nopass", "REPLICAOF NO ONE", "DEBUG SLEEP 0", "SHUTDOWN", "MONITOR x", "SELECT 0" + db, "SELECT " + db,
	} {
		err := withRedis(env, func(c *redis.Client) error {
			var args []any
			for _, word := range strings.Fields(command) {
				args = append(args, word)
			}
			got, err := c.Do(ctx, args...).Result()
			if err == nil && fmt.Sprint(got) == want {
				return errLed
			}
			return nil
		})
		if errors.Is(err, errLed) {
			return nil
		}
		// Where both have a server of their own, what was flushed is one's own.
		if err := redisSuite().Write(ctx, env, key, had); err != nil {
			return err
		}
		if got, err := redisSuite().Read(ctx, other, key); err != nil || got != want {
			return nil
		}
	}
	return errors.New("no way led there")
}

var errLed = errors.New("this one did")

func TestRedis_Own(t *testing.T) {
	t.Parallel()
	needRedis(t)
	client := redisSuite()
	client.Broken = map[string]hop3.AddonServer{"a server without services": hop3test.AddonServer{}}
	hop3test.Addon(t, new(addons.Redis), servicestest.Server(t, nil), client)
}

func TestRedis_Configured(t *testing.T) {
	t.Parallel()
	needRedis(t)
	settings := redisServer(t, "databases 64")
	client := redisSuite("REDIS_USERNAME")
	client.Broken = map[string]hop3.AddonServer{
		"a wrong password":         hop3test.AddonServer{Settings: withSettings(settings, "REDIS_PASSWORD", "wrong-password-of-the-admin")},
		"no password":              hop3test.AddonServer{Settings: withSettings(settings, "REDIS_PASSWORD_FILE", "/dev/null", "REDIS_PASSWORD", gone)},
		"a port nobody listens on": hop3test.AddonServer{Settings: withSettings(settings, "REDIS_PORT", "1")},
	}
	hop3test.Addon(t, new(addons.Redis), hop3test.AddonServer{Settings: settings}, client)
}

func needRedis(t *testing.T) {
	t.Helper()
	needPrograms(t, "redis-server", "redis-server")
}

// redisServer runs a server as an admin has one, and returns the settings for
// it.
func redisServer(t *testing.T, config ...string) map[string]string {
	t.Helper()
	dir := servicestest.Home(t)
	port := unusedPort(t)
	secret := "the-admins-password-of-redis"
	lines := append([]string{"port " + port, "bind 127.0.0.1", "dir " + dir, "requirepass " + secret, `save ""`}, config...)
	file := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	startProgram(t, "redis-server", file)
	waitForPort(t, port)
	return map[string]string{"REDIS_HOST": "localhost", "REDIS_PORT": port, "REDIS_PASSWORD": secret}
}
