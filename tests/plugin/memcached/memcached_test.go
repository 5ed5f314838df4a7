package memcached

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/services/servicestest"
)

// app is the addon as an app knows it.
func app(env hop3.Env) hop3.Addon {
	_, port, _ := strings.Cut(env["MEMCACHED_SERVERS"], ":")
	return hop3.Addon{Details: hop3.AddonDetails{"port": port, "user": env["MEMCACHED_USERNAME"], "password": env["MEMCACHED_PASSWORD"]}}
}

func write(ctx context.Context, env hop3.Env, key, value string) error {
	conn, err := login(ctx, app(env))
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := conn.ask(fmt.Sprintf("set %s 0 0 %d\r\n%s", hex.EncodeToString([]byte(key)), len(value), value))
	if err == nil && answer != "STORED" {
		err = errors.New(answer)
	}
	return err
}

func read(ctx context.Context, env hop3.Env, key string) (string, error) {
	conn, err := login(ctx, app(env))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	answer, err := conn.ask("get " + hex.EncodeToString([]byte(key)))
	if err != nil || answer == "END" {
		return "", err
	}
	size, err := strconv.Atoi(answer[strings.LastIndexByte(answer, ' ')+1:])
	if err != nil {
		return "", errors.New(answer)
	}
	value := make([]byte, size)
	_, err = io.ReadFull(conn.from, value)
	return string(value), err
}

// trespass tries another's cache with one's own login, and with none.
func trespass(ctx context.Context, env, other hop3.Env, key string) error {
	mine := other.Merge(hop3.Env{"MEMCACHED_USERNAME": env["MEMCACHED_USERNAME"], "MEMCACHED_PASSWORD": env["MEMCACHED_PASSWORD"]})
	_, reading := read(ctx, mine, key)
	writing := write(ctx, mine, key, "changed")
	conn, err := dial(ctx, app(other))
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := conn.ask("get " + hex.EncodeToString([]byte(key)))
	if reading == nil || writing == nil || err == nil && !strings.HasPrefix(answer, "CLIENT_ERROR") {
		return nil
	}
	return errors.New(answer)
}

func TestMemcached(t *testing.T) {
	hop3test.Addon(t, new(Memcached), servicestest.Server(t, nil), hop3test.AddonClient{
		Variables: []string{"MEMCACHED_URL", "MEMCACHED_SERVERS", "MEMCACHED_USERNAME", "MEMCACHED_PASSWORD"},
		Options:   map[string][]string{"memory": {"8"}},
		Write:     write, Read: read, Trespass: trespass,
	})
}
