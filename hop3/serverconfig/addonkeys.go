package serverconfig

import (
	"maps"
	"net/url"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// addonKeys are the settings of the providers of addons, one group for each
// type. What they mean is the provider's to say: here they are only checked.
func addonKeys() []key {
	return []key{
		addonKey("POSTGRES_HOST", nil, "the PostgreSQL server of the addons, by name or address, or the directory of its socket; empty for one of Hop3's own"),
		addonKey("POSTGRES_PORT", optional(addonPort), "its port, if not 5432"),
		addonKey("POSTGRES_SUPERUSER", nil, "who makes databases there, if not postgres"),
		addonKey("POSTGRES_SUPERUSER_PASSWORD", nil, "their password").secretly(),
		addonKey("HOP3_EXTRA_PG_EXTENSIONS", nil, "extensions of PostgreSQL that apps may have beside the usual ones, separated by commas"),
		addonKey("MYSQL_HOST", nil, "the MySQL or MariaDB server of the addons, by name, address or socket; empty for one of Hop3's own"),
		addonKey("MYSQL_PORT", optional(addonPort), "its port, if not 3306"),
		addonKey("MYSQL_SUPERUSER", nil, "who makes databases there, if not root"),
		addonKey("MYSQL_SUPERUSER_PASSWORD", nil, "their password").secretly(),
		addonKey("REDIS_HOST", nil, "the Redis server of the addons, by name or address; empty for one of Hop3's own for each"),
		addonKey("REDIS_PORT", optional(addonPort), "its port, if not 6379"),
		addonKey("REDIS_USER", nil, "who makes users there, if not default"),
		addonKey("REDIS_PASSWORD", nil, "their password").secretly(),
		addonKey("REDIS_PASSWORD_FILE", nil, "the file with their password, where it is not set; /etc/hop3/redis-pass if there is one"),
		addonKey("S3_ENDPOINT", optional(s3Endpoint), "the URL of the S3 server of the addons; empty for one of Hop3's own"),
		addonKey("S3_REGION", nil, "its region, if not us-east-1"),
		addonKey("S3_ACCESS_KEY", nil, "the key of its administrator, who makes buckets there"),
		addonKey("S3_SECRET_KEY", nil, "the secret of this key").secretly(),
		addonKey("S3_USE_PATH_STYLE", optional(trueOrFalse), "false where buckets are part of the host's name, as at AWS"),
		addonKey("HOP3_S3_BACKEND", optional(oneOf("minio", "versitygw", "generic")), "what the server is, where it does not say so itself: minio, versitygw or generic; also which of the two Hop3 runs itself"),
		addonKey("S3_SHARE_KEY", optional(trueOrFalse), "give apps the key above where the server has none for a single bucket: they can then read each other's objects"),
		addonKey("EXPOSE_DEFAULT_SOURCE", nil, "who may reach an exposed addon where the command does not say: a network, or any; empty to have it said each time"),
	}
}

// addonKey is a setting whose text goes to the providers as it is, once check
// has not refused it; nil takes all.
func addonKey(name string, check func(string) (string, error), doc string) key {
	return key{name: name, doc: doc, set: func(c *Config, text string) error {
		if check != nil {
			checked, err := check(text)
			if err != nil {
				return err
			}
			text = checked
		}
		if text == "" {
			return nil
		}
		if c.Addons == nil {
			c.Addons = map[string]string{}
		}
		c.Addons[name] = text
		return nil
	}}
}

// lendSMTP lets the providers know of the server's own mail server, which addons
// may use.
func (c *Config) lendSMTP() {
	if c.SMTP.Host == "" {
		return
	}
	if c.Addons == nil {
		c.Addons = map[string]string{}
	}
	maps.Copy(c.Addons, map[string]string{
		"SMTP_HOST": c.SMTP.Host, "SMTP_PORT": strconv.Itoa(c.SMTP.Port), "SMTP_TLS": c.SMTP.TLS,
		"SMTP_USER": c.SMTP.User, "SMTP_PASSWORD": c.SMTP.Password, "SMTP_FROM": c.SMTP.From,
	})
}

// secretly has the value hidden where settings are shown.
func (k key) secretly() key {
	k.show = hidden
	return k
}

func addonPort(text string) (string, error) {
	if _, err := number(1, 65535)(text); err != nil {
		return "", hop3.Errorf(hop3.CodeInvalid, "expected a port, from 1 to 65535")
	}
	return text, nil
}

// s3Endpoint takes the URL of a server, without a path.
func s3Endpoint(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", hop3.Errorf(hop3.CodeInvalid, "expected the URL of a server without a path: https://s3.example.com")
	}
	return u.Scheme + "://" + u.Host, nil
}

func trueOrFalse(text string) (string, error) {
	switch text {
	case "true", "1":
		return "true", nil
	case "false", "0":
		return "false", nil
	}
	return "", hop3.Errorf(hop3.CodeInvalid, "expected true or false")
}
