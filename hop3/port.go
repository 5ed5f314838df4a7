package hop3

import (
	"fmt"
	"strconv"
	"strings"
)

// Port is a fixed port of the host that an app listens on by itself, for what
// is no HTTP. The proxy has nothing to do with it.
type Port struct {
	Number   int    // 1 to 65535
	Protocol string // tcp or udp
	Name     string // what it is for; may be empty
	Source   string // who is to reach it: "any", or an IPv4 network in its canonical form
}

// AnySource is the Source of a port that is for everybody.
const AnySource = "any"

// String is "2525/tcp".
func (p Port) String() string { return fmt.Sprintf("%d/%s", p.Number, p.Protocol) }

// Is reports whether two ports are the same one of the host.
func (p Port) Is(other Port) bool { return p.Number == other.Number && p.Protocol == other.Protocol }

// Variable names the environment variable that holds the number: PORT_SMTP by
// the port's name, PORT_2525 when it has none.
func (p Port) Variable() string {
	name := strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z':
			return c - 'a' + 'A'
		case 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			return c
		}
		return '_'
	}, p.Name)
	if name == "" {
		name = strconv.Itoa(p.Number)
	}
	return "PORT_" + name
}

// PortClaim is a fixed port and the app whose it is.
type PortClaim struct {
	Port
	App string
}
