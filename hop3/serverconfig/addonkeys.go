package serverconfig

import "github.com/abilian/hop3/hop3"

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
