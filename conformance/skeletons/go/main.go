// An adapter: it lets `torvyn-conformance` drive a runtime over standard input and output.
//
// `stream` is a small stream of numbers that stands where your runtime will stand: replace its body, message by message, and claim further
// facets in `declaration` as you add them. What you leave out, name in `unsupported` with the reason.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

type object map[string]any

// asked has the fields of the requests that this adapter answers.
type asked struct {
	Op       string   `json:"op"`
	Capacity int64    `json:"capacity"`
	Ratio    *float64 `json:"low_watermark_ratio"`
	Policy   string   `json:"policy"`
	Value    int64    `json:"value"`
}

// refused is an operation that the runtime refused; nothing has changed. The text is the specification's symbolic kind.
type refused string

func (kind refused) Error() string { return string(kind) }

func declaration() object {
	return object{
		"re": "declaration", "name": "my-runtime", "version": "0.1.0", "protocol": 1, "language": "go",
		"facets":      []object{{"facet": "streams"}},
		"unsupported": object{},
	}
}

type stream struct {
	capacity, low int64
	policy        string
	items         []int64
	active, done  bool
}

func open(request asked) (*stream, error) {
	ratio := 0.5
	if request.Ratio != nil {
		ratio = *request.Ratio
	}
	policy := request.Policy
	if policy == "" {
		policy = "block-producer"
	}
	if request.Capacity < 1 {
		return nil, refused("invalid-capacity")
	}
	if ratio < 0 || ratio >= 1 {
		return nil, refused("invalid-ratio")
	}
	return &stream{capacity: request.Capacity, low: int64(float64(request.Capacity) * ratio), policy: policy}, nil
}

func (s *stream) push(value int64) (object, error) {
	if s.done {
		return nil, refused("producer-complete")
	}
	reply := object{"re": "pushed", "verdict": "enqueued"}
	if int64(len(s.items)) == s.capacity {
		switch s.policy {
		case "block-producer":
			return nil, refused("queue-full")
		case "drop-oldest":
			reply["verdict"], reply["evicted"] = "evicted-oldest", s.items[0]
			s.items = s.items[1:]
		case "error":
			return object{"re": "pushed", "verdict": "queue-full", "stream": s.describe()}, nil
		default:
			return object{"re": "pushed", "verdict": "refused-newest", "stream": s.describe()}, nil
		}
	}
	s.items = append(s.items, value)
	if int64(len(s.items)) == s.capacity && !s.active {
		s.active = true
		reply["pressure_changed"] = "active"
	}
	reply["stream"] = s.describe()
	return reply, nil
}

func (s *stream) pop() (object, error) {
	if len(s.items) == 0 {
		return nil, refused("queue-empty")
	}
	reply := object{"re": "popped", "value": s.items[0]}
	s.items = s.items[1:]
	if s.active && int64(len(s.items)) <= s.low {
		s.active = false
		reply["pressure_changed"] = "normal"
	}
	reply["stream"] = s.describe()
	return reply, nil
}

func (s *stream) describe() object {
	depth := int64(len(s.items))
	pressure := "normal"
	if s.active {
		pressure = "active"
	}
	waits := s.policy == "block-producer" && (s.active || depth == s.capacity)
	return object{
		"re": "stream", "depth": depth, "credits": s.capacity - depth, "capacity": s.capacity, "low": s.low,
		"pressure": pressure, "may_produce": !s.done && !waits, "is_complete": s.done && depth == 0,
	}
}

var current, _ = open(asked{Capacity: 64})

func answer(request asked) (object, error) {
	switch request.Op {
	case "hello":
		return declaration(), nil
	case "bye":
		return object{"re": "done"}, nil
	case "streams.open":
		opened, err := open(request)
		if err != nil {
			return nil, err
		}
		current = opened
		return current.describe(), nil
	case "streams.push":
		return current.push(request.Value)
	case "streams.pop":
		return current.pop()
	case "streams.complete":
		current.done = true
		return current.describe(), nil
	case "streams.inspect":
		return current.describe(), nil
	}
	return object{"re": "unsupported", "reason": request.Op + " is not implemented"}, nil
}

// Standard output belongs to the protocol: log to standard error only.
func main() {
	input := bufio.NewReader(os.Stdin)
	for {
		line, err := input.ReadBytes('\n')
		if err != nil {
			return
		}
		var envelope struct {
			ID      int64           `json:"id"`
			Request json.RawMessage `json:"request"`
		}
		var named struct {
			Op string `json:"op"`
		}
		if json.Unmarshal(line, &envelope) != nil || json.Unmarshal(envelope.Request, &named) != nil {
			fmt.Fprintln(os.Stderr, "a line is no request")
			os.Exit(65)
		}
		var request asked
		_ = json.Unmarshal(envelope.Request, &request) // fields of other facets may have other types; their operations are declined
		request.Op = named.Op
		reply, refusal := answer(request)
		if refusal != nil {
			reply = object{"re": "fault", "kind": refusal.Error()}
		}
		written, _ := json.Marshal(object{"id": envelope.ID, "reply": reply})
		fmt.Println(string(written))
		if named.Op == "bye" {
			return
		}
	}
}
