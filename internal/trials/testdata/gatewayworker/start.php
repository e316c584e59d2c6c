<?php
// A live room on GatewayWorker: php start.php start. Its settings are in the environment:
// VENDOR is the folder of the packages, DIR that of its files, GATEWAY the address of the rooms,
// REGISTER that of its own processes, and PORTS the first port of those.

use GatewayWorker\BusinessWorker;
use GatewayWorker\Gateway;
use GatewayWorker\Lib\Gateway as Clients;
use GatewayWorker\Register;
use Workerman\Worker;

require getenv('VENDOR') . '/autoload.php';

class Events
{
    public static function onConnect($id)
    {
        Clients::sendToClient($id, json_encode(['msg_type' => 'init', 'client_id' => $id]));
    }

    public static function onMessage($id, $data)
    {
        $m = json_decode($data, true);
        switch ($m['msg_type'] ?? '') {
            case 'join':
                $_SESSION['room'] = $room = $m['room_id'];
                Clients::joinGroup($id, $room);
                $lines = @file(getenv('DIR') . "/$room", FILE_IGNORE_NEW_LINES) ?: [];
                Clients::sendToGroup($room, json_encode([
                    'msg_type' => 'join',
                    'msg_content' => $m['from_name'] . ' 进入直播间',
                    'online_num' => Clients::getClientIdCountByGroup($room),
                    'message_list' => array_map('json_decode', array_slice($lines, -20)),
                ]));
                break;
            case 'message':
                if (empty($_SESSION['room'])) {
                    Clients::sendToClient($id, json_encode(['msg_type' => 'error', 'msg_content' => 'not in a room']));
                    break;
                }
                $comment = ['from_name' => $m['from_name'], 'content' => $m['content']];
                file_put_contents(getenv('DIR') . "/$_SESSION[room]", json_encode($comment) . "\n", FILE_APPEND | LOCK_EX);
                Clients::sendToGroup($_SESSION['room'], json_encode(['msg_type' => 'message'] + $comment));
        }
    }
}

Worker::$pidFile = getenv('DIR') . '/pid';
Worker::$logFile = getenv('DIR') . '/log';
Worker::$statusFile = getenv('DIR') . '/status';

new Register('text://' . getenv('REGISTER'));

$gateway = new Gateway('websocket://' . getenv('GATEWAY'));
$gateway->count = 2;
$gateway->lanIp = '127.0.0.1';
$gateway->startPort = (int) getenv('PORTS');
$gateway->registerAddress = getenv('REGISTER');
$gateway->pingInterval = 55;
$gateway->pingNotResponseLimit = 1;

$workers = new BusinessWorker();
$workers->count = 4;
$workers->registerAddress = getenv('REGISTER');
$workers->eventHandler = Events::class;

Worker::runAll();
