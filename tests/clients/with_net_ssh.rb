# Ruby's net-ssh, by which Vagrant connects, and which reads an ssh_config by itself: CONFIG ALIAS. Sends bytes and takes them back.
require 'net/ssh'

config, name = ARGV
sent = (0..255).to_a.pack('C*') * 1000
back = String.new
Net::SSH.start(name, nil, config: [config], use_agent: false) do |session|
  channel = session.open_channel do |opened|
    opened.on_data { |_, data| back << data }
    opened.exec('cat') do |to, _|
      to.send_data(sent)
      to.eof!
    end
  end
  channel.wait
end
raise 'other bytes have come back' unless back == sent

puts "through #{sent.bytesize}"
