package addons

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisConn is a connection to Redis on which more goes than fits into memory:
// snapshots from it, and values to it. For all else there is the client.
type redisConn struct {
	net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	stop func() bool
}

// redisReply is an error that the server replied.
type redisReply string

func (e redisReply) Error() string { return string(e) }

// RedisError has errors.As find it as an error of the client.
func (redisReply) RedisError() {}

// dialRedis connects and logs in. What ctx ends is closed.
func dialRedis(ctx context.Context, o *redis.Options) (*redisConn, error) {
	dial := o.Dialer
	if dial == nil {
		dial = (&net.Dialer{Timeout: o.DialTimeout}).DialContext
	}
	conn, err := dial(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, err
	}
	c := &redisConn{Conn: conn, in: bufio.NewReaderSize(conn, 64<<10), out: bufio.NewWriterSize(conn, 256<<10)}
	c.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	login := []string{"AUTH"}
	if o.Username != "" {
		login = append(login, o.Username)
	}
	if o.Password != "" {
		err = c.do(append(login, o.Password)...)
	}
	if err == nil && o.DB != 0 {
		err = c.do("SELECT", strconv.Itoa(o.DB))
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *redisConn) close() {
	c.stop()
	_ = c.Close()
}

// Read and Write have a minute at a time.
func (c *redisConn) Read(p []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	return c.in.Read(p)
}

// send writes a command, whose last argument may be a stream of known size.
func (c *redisConn) send(args ...string) error {
	_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
	_, err := fmt.Fprintf(c.out, "*%d\r\n", len(args))
	for _, arg := range args {
		if err == nil {
			err = c.bulk(int64(len(arg)), strings.NewReader(arg))
		}
	}
	return err
}

func (c *redisConn) bulk(size int64, body io.Reader) error {
	if _, err := fmt.Fprintf(c.out, "$%d\r\n", size); err != nil {
		return err
	}
	if _, err := io.CopyN(c.out, body, size); err != nil {
		return err
	}
	_, err := c.out.WriteString("\r\n")
	return err
}

// reply reads a status, a number or an error; anything else is an error.
func (c *redisConn) reply() (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	line, err := c.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case line == "":
		return "", errors.New("the server replied nothing")
	case line[0] == '-':
		return "", redisReply(line[1:])
	case line[0] != '+' && line[0] != ':':
		return "", fmt.Errorf("the server replied %.40q", line)
	}
	return line[1:], nil
}

func (c *redisConn) do(args ...string) error {
	if err := c.send(args...); err != nil {
		return err
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	_, err := c.reply()
	return err
}

// snapshot asks for all the server holds at one moment, as a replica does. The
// server writes it to its disk first, so that nobody waits for a slow reader.
func (c *redisConn) snapshot() (io.Reader, error) {
	var refused redisReply
	if err := c.do("REPLCONF", "rdb-only", "1"); err != nil && !errors.As(err, &refused) { // is new in 7.0
		return nil, err
	}
	if err := c.send("SYNC"); err != nil {
		return nil, err
	}
	if err := c.out.Flush(); err != nil {
		return nil, err
	}
	for {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute)) // it says each few seconds that it is at it
		line, err := c.in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		line = strings.TrimRight(line, "\r\n")
		if size, ok := strings.CutPrefix(line, "$"); ok {
			n, err := strconv.ParseInt(size, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("the server replied %.40q", line)
			}
			return io.LimitReader(c, n), nil
		}
		if strings.HasPrefix(line, "-") {
			return nil, redisReply(line[1:])
		}
	}
}
